// What scrolls sideways can be reached with the Tab key, and then scrolled with the arrows.
addEventListener("load", () => {
  for (const region of document.querySelectorAll("pre > code, .md-typeset__scrollwrap, math[display=block]"))
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
});

"""What PyInstaller cannot see in the code: commands that are imported by name, networks, the photograph, the page."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = collect_submodules("numpyvgg.cli")
datas = collect_data_files("numpyvgg")

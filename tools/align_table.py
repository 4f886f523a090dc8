"""Measure face alignment: portraits turned by known angles, the angle, box and time that come back.

    python tools/align_table.py angles [PHOTO EYES]     table: angle given, found, overlap, time
    python tools/align_table.py nobody                  what is found in scikit-image's photographs without a person
    python tools/align_table.py time                    seconds of the search on the demo portrait and on 12 megapixels
    python tools/align_table.py sheet OUT.png           contact sheet: the demo portrait at 12 angles, and its crops
    python tools/align_table.py group OUT.jpg           an album page of two portraits in the public domain

EYES is four numbers, x and y of the left and of the right eye as seen: the line through them is the truth about a
face's own tilt, so the truth about a turned photograph is that tilt plus the turn. `--detector cascade` measures
OpenCV's (numpyvgg[faces]).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import numpyvgg
from numpyvgg.photo.faces.detectors import Detector, load_detector
from numpyvgg.photo.faces.search import DEX_ANGLES, Face, align_faces
from numpyvgg.photo.images import load_image

PORTRAIT = Path(numpyvgg.__file__).parent / "data" / "eileen_collins.jpg"
EYES = (202.5, 101.0, 246.8, 103.3)
GREY = (128, 128, 128)
#: turns that are no multiple of 5 degrees, around the whole circle
OFF_GRID = (-163, -137, -112, -76, -48, -22, 7, 33, 58, 83, 127, 152)
#: files of scikit-image that show a person
PEOPLE = ("astronaut.png", "camera.png")


def turned(photo: Image.Image, angle: float) -> Image.Image:
    """Turn a photograph clockwise, on grey."""
    return photo.rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def moved(corners: np.ndarray, old: tuple[int, int], new: tuple[int, int], angle: float) -> np.ndarray:
    """Where the corners [4, 2] are after `turned`."""
    phi = np.radians(angle)
    clockwise = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    return (corners - np.array(old) / 2) @ clockwise.T + np.array(new) / 2


def overlap(a: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> float:
    """Intersection over union, counted in pixels."""
    masks = []
    for corners in (a, b):
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
        masks.append(np.asarray(mask))
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def largest(photo: Image.Image, detector: Detector) -> tuple[Face, int, float]:
    """The largest face, how many there are, and the seconds that took."""
    begin = time.perf_counter()
    faces = align_faces(photo, detector)
    return faces[0], len(faces), time.perf_counter() - begin


def angles(path: Path, eyes: tuple[float, ...], detector: Detector) -> None:
    """Print the table for one photograph, turned by the paper's angles and by twelve others."""
    photo = load_image(path)
    tilt = float(np.degrees(np.arctan2(eyes[3] - eyes[1], eyes[2] - eyes[0])))
    reference, *_ = largest(photo, detector)
    print(f"{path.name}, {photo.width} x {photo.height}; the eyes are tilted by {tilt:.1f} degrees")
    print("| given | truth | found | error | IoU | faces | time, s |\n|---:|---:|---:|---:|---:|---:|---:|")
    for given in (*sorted(DEX_ANGLES), *OFF_GRID):
        picture = turned(photo, given)
        face, count, seconds = largest(picture, detector)
        truth = (given + tilt + 180) % 360 - 180
        error = (face.angle - truth + 180) % 360 - 180
        shared = overlap(face.box, moved(reference.box, photo.size, picture.size, given), picture.size)
        found = f"{face.angle:.1f} | {error:+.1f} | {shared:.2f} | {count}" if face.found else "none | | |"
        print(f"| {given} | {truth:.1f} | {found} | {seconds:.2f} |", flush=True)


def nobody(detector: Detector) -> None:
    """Print what is found in the photographs that come with scikit-image and show no person."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg") and path.name not in PEOPLE]
    count = 0
    for path in paths:
        for face in align_faces(path, detector):
            count += face.found
            print(f"{path.name}: {face}", flush=True)
    print(f"{len(paths)} photographs, {count} finds")


def seconds(detector: Detector) -> None:
    """Print how long the search takes, the median of 12: one portrait, and three of them on 12 megapixels."""
    portrait = load_image(PORTRAIT)
    large = Image.new("RGB", (4000, 3000), (90, 110, 130))
    for left, top, side in ((200, 300, 1200), (1600, 900, 1500), (3100, 200, 800)):
        large.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    for name, photo in (("portrait, 512x512", portrait), ("three portraits on 4000x3000", large)):
        times = sorted(largest(photo, detector)[2] for _ in range(12))
        print(f"{name}: {largest(photo, detector)[1]} found, {times[6]:.3f} s (best {times[0]:.3f})", flush=True)


def sheet(out: Path, detector: Detector) -> None:
    """Draw the portrait at 12 angles, each with its crop."""
    photo, cell = load_image(PORTRAIT).crop((60, 0, 400, 340)), 168
    canvas = Image.new("RGB", (3 * (2 * cell + 24), 4 * (cell + 24)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, given in enumerate((-90, -60, -45, -30, -15, 0, 15, 30, 45, 60, 90, 180)):
        picture = turned(photo, given)
        face, *_ = largest(picture, detector)
        left, top = (i % 3) * (2 * cell + 24) + 6, (i // 3) * (cell + 24)
        drawn = picture.copy()
        drawn.thumbnail((cell, cell), Image.Resampling.LANCZOS)
        corners = [tuple(corner) for corner in (face.box * drawn.width / picture.width).tolist()]
        ImageDraw.Draw(drawn).line([*corners, *corners[:2]], fill=(255, 255, 0), width=2, joint="curve")
        canvas.paste(drawn, (left + (cell - drawn.width) // 2, top + 20 + (cell - drawn.height) // 2))
        canvas.paste(
            Image.fromarray(face.crop).resize((cell, cell), Image.Resampling.LANCZOS), (left + cell + 4, top + 20)
        )
        draw.text((left, top + 4), f"turned by {given}, found {face.angle:.1f} degrees", fill="black")
    canvas.quantize(256).save(out, optimize=True)


def group(out: Path, detector: Detector) -> None:
    """Compose an album page: prints of two portraits, at several sizes and angles."""
    import matplotlib

    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # US Navy, public domain
    collins = load_image(PORTRAIT).crop((60, 0, 400, 400))
    page = Image.new("RGB", (1200, 800), (94, 72, 54))
    prints = ((0, 300, 6, 40, 60), (1, 330, -12, 400, 20), (0, 220, -90, 850, 70), (1, 250, 38, 60, 420))
    for which, width, angle, left, top in (*prints, (0, 280, -33, 430, 420), (1, 210, 180, 900, 460)):
        photo = (collins, load_image(hopper))[which]
        photo = photo.resize((width, width * photo.height // photo.width), Image.Resampling.LANCZOS)
        paper = Image.new("RGBA", (photo.width + 24, photo.height + 24), "white")
        paper.paste(photo, (12, 12))
        paper = paper.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
        page.paste(paper, (left, top), paper)
    page.save(out, quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("angles", "nobody", "time", "sheet", "group"))
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("eyes", nargs="*", type=float)
    parser.add_argument("--detector", default="mtcnn")
    args = parser.parse_args()
    detector = load_detector(args.detector)
    if args.what == "angles":
        angles(args.path or PORTRAIT, tuple(args.eyes) or EYES, detector)
    elif args.what in ("nobody", "time"):
        (nobody if args.what == "nobody" else seconds)(detector)
    else:
        (sheet if args.what == "sheet" else group)(args.path, detector)


if __name__ == "__main__":
    main()

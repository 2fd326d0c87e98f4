"""Makes docs/notebooks/: what the notebooks show, as pages, from a finished run of the sample.

python -m docs.pages logs/sample
"""

import base64
import io
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbformat import NotebookNode
from PIL import Image

from src.common.paths import anchored, root
from src.runs import Run

PAGES = root() / "docs/notebooks"
COLOURS = 32  # of a picture's palette: lines and bars need no more
WIDEST = 900  # pixels
_FRAME = re.compile(r'frames\[\d+\] = "data:image/png;base64,([^"]+)"')
_EVERY = 2  # frames of an animation


def page(path: Path) -> Path:
    """Write an executed notebook as a page of Markdown, with its pictures beside it."""
    notebook = nbformat.read(path, as_version=4)
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = [_shown(output, path.stem, pictures) for output in cell.outputs]
            cell.outputs = [output for output in shown if output is not None]
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    folder = PAGES / path.stem
    folder.mkdir(parents=True)
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    target = PAGES / f"{path.stem}.md"
    target.write_text(_tidied(text), encoding="utf-8")
    return target


def _shown(output: NotebookNode, folder: str, pictures: dict[str, bytes]) -> NotebookNode | None:
    """An output as the page shows it: pictures are files, an animation is a GIF."""
    data = output.get("data", {})
    html = data.get("text/html", "")
    if frames := _FRAME.findall(html):
        return _picture(folder, pictures, _gif(frames), "gif")
    if "image/png" in data:
        return _picture(folder, pictures, _png(base64.b64decode(data["image/png"])), "png")
    if html:
        data["text/html"] = re.sub(r"<style.*?</style>\s*", "", html, flags=re.DOTALL)
    return None if "application/vnd.jupyter.widget-view+json" in data else output


def _picture(folder: str, pictures: dict[str, bytes], data: bytes, kind: str) -> NotebookNode:
    name = f"{len(pictures)}.{kind}"
    pictures[name] = data
    text = {"text/markdown": f"![]({folder}/{name})"}
    return nbformat.v4.new_output("display_data", text)


def _png(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data))
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)))
    out = io.BytesIO()
    with_few_colours(image, COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


def with_few_colours(image: Image.Image, colours: int) -> Image.Image:
    """The image with a palette of so many colours, by which its file is small."""
    # Maximum coverage: a thin red line among much grey stays red.
    return image.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)


def _gif(frames: list[str]) -> bytes:
    """The frames of matplotlib's player, as one animation."""
    pngs = (base64.b64decode(frame.replace("\\\n", "")) for frame in frames[::_EVERY])
    first, *others = [with_few_colours(Image.open(io.BytesIO(png)), 16) for png in pngs]
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=others, duration=130, loop=0)
    return out.getvalue()


def _tidied(text: str) -> str:
    """Without folders of this machine, blank ends of lines, and rows of blank lines."""
    text = text.replace(f"{root()}/", "")
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text)


def main(run_dir: str = "logs/sample") -> None:
    """Make the pages of every notebook of that run."""
    run = Run.open(anchored(run_dir))
    shutil.rmtree(PAGES, ignore_errors=True)
    for path in sorted(run.folder.glob("0*.ipynb")):
        made = page(path)
        size = sum(file.stat().st_size for file in made.with_suffix("").iterdir())
        print(f"{made}  {size / 1e3:.0f} kB of pictures")


if __name__ == "__main__":
    main(*sys.argv[1:])

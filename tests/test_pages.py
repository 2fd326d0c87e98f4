"""A page of docs/notebooks shows what the notebook shows, and carries its pictures beside it."""

import base64
import io

import nbformat
import numpy as np
import pandas as pd
from PIL import Image

from docs import pages
from src.common.paths import root


def png(colour: str) -> str:
    data = io.BytesIO()
    Image.new("RGB", (1200, 40), colour).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def test_a_page_has_words_tables_pictures_and_the_moving_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PAGES", tmp_path / "pages")
    player = "".join(
        f'frames[{k}] = "data:image/png;base64,{png(colour)}"\n'
        for k, colour in enumerate(("red", "green", "blue"))
    )
    table = "<style scoped>th {color: red}</style>" + pd.DataFrame({"a": [17]}).to_html()
    outputs = [
        nbformat.v4.new_output("stream", text=f"{root()}/logs/sample is here\n"),
        *(
            nbformat.v4.new_output("display_data", data)
            for data in ({"image/png": png("red")}, {"text/html": player}, {"text/html": table})
        ),
    ]
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=outputs)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Words"), cell])
    nbformat.write(book, tmp_path / "01_a.ipynb")

    text = pages.page(tmp_path / "01_a.ipynb").read_text()
    assert "# Words" in text and "1 + 1" in text and "    logs/sample is here" in text
    assert "![](01_a/0.png)" in text and "![](01_a/1.gif)" in text
    assert "<td>17</td>" in text and "<style" not in text
    still = Image.open(tmp_path / "pages/01_a/0.png").convert("RGB")
    assert still.width == pages.WIDEST and np.asarray(still)[0, 0].tolist() == [255, 0, 0]
    with Image.open(tmp_path / "pages/01_a/1.gif") as moving:
        assert moving.n_frames == 2  # every second frame

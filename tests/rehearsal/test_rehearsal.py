"""A tenth of the real run: 9,400 clips, small networks, all folds and the fit on everything."""

import shutil
from pathlib import Path

import pytest

from src.dataset import competition
from src.dataset.folds import EVERYTHING, PUBLISHED_FOLD
from src.runs import Run
from tests.rehearsal.__main__ import rehearse
from tests.rehearsal.folder import write_competition

# One network and one role: tests/test_every_notebook.py trains all roles of a recipe.
RECIPE = "conv_transformer"
SMALL = (
    "--epochs 2 --steps 10 --batch-size 16 awp:none "
    "--model.dim 24 --model.groups 1 --model.convs 2 --model.kernel 5 --model.heads 4"
)


@pytest.mark.slow
def test_a_tenth_of_the_real_run_is_killed_twice_and_ends(tmp_path, capsys):
    data = tmp_path / "asl-signs-rehearsed"
    rehearse(
        str(data), str(tmp_path / "run"), clips=9_400, signs=25, recipes=RECIPE,
        overrides=SMALL, limit=100,
    )  # fmt: skip
    run = Run.open(tmp_path / "run")
    assert run.about.folds == (0, 1, 2, 3, EVERYTHING)
    assert len(run.clips) == 9_400
    assert run.clips.groupby("participant").fold.first().to_dict() == PUBLISHED_FOLD
    assert len(run.predictions(RECIPE)) == 9_400  # each clip once, where it was held out
    assert (run.folder / "submission.zip").is_file()
    said = capsys.readouterr().out
    assert (run.folder / "rehearsal.md").read_text() in said
    shutil.rmtree(run.store.folder)


def test_links_of_a_clip_stay_with_its_signer(tmp_path):
    folder = write_competition(tmp_path / "raw", clips=100, signs=2)
    index = competition.read_index(folder)
    assert len(index) == 100 and index.sequence.is_unique
    inode = index.path.map(lambda path: Path(path).stat().st_ino)  # what all links of a file share
    assert inode.nunique() == 2 * len(PUBLISHED_FOLD)
    assert (index.participant.groupby(inode).nunique() == 1).all()

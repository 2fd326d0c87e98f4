"""Folders that other people wrote: read as they mean it, or refused in one line at the start."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from src.common.errors import InputError
from src.common.files import write_json
from src.common.paths import SIGN_MAP
from src.dataset import folds
from src.dataset.competition import read_index, read_signs
from src.dataset.store import build
from src.landmarks import N_LANDMARKS
from src.runs import About, Run
from src.tflite.converter.convert import convert
from src.tflite.scorer import Model, score
from tests.tflite import toys
from tests.tflite.lengths import by_length, module_of


@pytest.fixture
def folder(sample, tmp_path) -> Path:
    """A copy of the sample's folder to change."""
    return Path(shutil.copytree(sample, tmp_path / "data"))


def rewrite(folder: Path, change, encoding: str = "utf-8") -> None:
    table = change(pd.read_csv(folder / "train.csv", dtype=str))
    table.to_csv(folder / "train.csv", index=False, encoding=encoding)


def test_absolute_paths_inside_the_folder_are_read(folder, sample):
    rewrite(folder, lambda t: t.assign(path=str(folder) + "/" + t.path))
    assert len(read_index(folder)) == len(read_index(sample))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_from_windows_is_read_whatever_divides_its_fields(folder, sample, mark):
    rewrite(folder, lambda t: t.assign(path=t.path.str.replace("/", "\\")), "utf-8-sig")
    path = folder / "train.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b",", mark.encode()))
    found, expected = read_index(folder), read_index(sample)
    assert found.drop(columns="path").equals(expected.drop(columns="path"))
    assert all(Path(p).is_file() for p in found.path)


@pytest.mark.parametrize("names", [("1", "2", "3", "4"), ("nan", "null", "None", "NA")])
def test_signs_may_look_like_numbers_or_like_nothing(folder, names):
    new = dict(zip(read_signs(folder), names, strict=True))
    rewrite(folder, lambda t: t.assign(sign=t.sign.map(new)))
    write_json(folder / SIGN_MAP, {name: k for k, name in enumerate(names)})
    store = build(folder, folder.parent / "stores", range(N_LANDMARKS))
    assert set(store.clips.sign) == set(names)
    path = folder.parent / "model.tflite"
    path.write_bytes(convert(module_of(by_length), "fp32"))
    assert score(path, folder).clips == len(store)


def test_a_single_signers_clips_are_held_out_clip_by_clip(folder):
    rewrite(folder, lambda t: t[t.participant_id == t.participant_id[0]])
    clips = build(folder, folder.parent / "stores", range(N_LANDMARKS)).clips
    assert folds.present(clips, (0,)) == (0,) and folds.shared_signers(clips, 0)
    for fold in set(clips.fold):
        assert set(clips.sign[clips.fold != fold]) == set(clips.sign)  # every sign is learnt


def test_a_single_signer_with_single_clips_is_refused(folder, tmp_path):
    rewrite(folder, lambda t: t[t.participant_id == t.participant_id[0]].drop_duplicates("sign"))
    store = build(folder, folder.parent / "stores", range(N_LANDMARKS))
    about = About("cpu", str(folder), str(store.folder), 0, (), (), (0,))
    with pytest.raises(InputError, match="expected clips of at least two signers"):
        Run.create(tmp_path / "run", about, [])


def test_two_extra_folders_of_one_name_are_refused(folder, sample, tmp_path):
    extra = [Path(shutil.copytree(sample, tmp_path / k / "more")) for k in ("a", "b")]
    with pytest.raises(InputError, match=r"EXTRA_DATA: expected folders of different names"):
        build(folder, tmp_path / "stores", range(N_LANDMARKS), extra)


def test_a_file_that_loads_and_cannot_run_names_its_operation(tmp_path):
    """The determinant, which only TensorFlow itself can compute."""
    module = module_of(lambda x: tf.linalg.det(tf.reshape(x[:1, :3], (1, 3, 3))))
    signatures = {"serving_default": module.__call__.get_concrete_function()}
    tf.saved_model.save(module, tmp_path / "saved", signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    ops, path = tf.lite.OpsSet, tmp_path / "flex.tflite"
    converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS, ops.SELECT_TF_OPS]
    path.write_bytes(converter.convert())
    with pytest.raises(InputError, match=r"flex\.tflite: .*FlexMatrixDeterminant.*cannot"):
        Model(path)(toys.raw_clip(3))

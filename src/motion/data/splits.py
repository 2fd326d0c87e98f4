"""The published splits: three text files with one file id per line.

A file's id is `<database>/<file>.pkl`. The database is the part of the folder's name after "AMASS_"
or, without it, the part before the first "_". Source: fairmotion's and motion-transformer's
preprocessing.
"""

from pathlib import Path

from src.common.errors import InputError, refusing

LISTS = {
    "train": "training_fnames.txt",
    "valid": "validation_fnames.txt",
    "test": "test_fnames.txt",
}


def file_id(path: Path) -> str:
    """The name of a file in the split lists."""
    folder = path.parent.name
    database = folder.split("_", 1)[1] if folder.startswith("AMASS_") else folder.split("_")[0]
    return f"{database}/{path.name}"


def read_splits(folder: Path) -> dict[str, tuple[str, ...]]:
    """The ids of each split, without repeats.

    Raises:
        InputError: a list is missing or not in UTF-8, or an id is in more than one.
    """
    splits: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for split, name in LISTS.items():
        path = folder / name
        if not path.is_file():
            raise InputError(
                f"{path}: expected the published list of the {split} split, found no file; copy "
                "the three lists to LISTS"
            )
        with refusing(path, "a list in UTF-8", "save it in UTF-8"):
            text = path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark in front
        lines = [line.strip() for line in text.splitlines()]
        splits[split] = tuple(dict.fromkeys(line for line in lines if line))
        for identity in splits[split]:
            if identity in owner:
                raise InputError(
                    f"{path}: expected each clip in one split only, but {identity} is also in the "
                    f"{owner[identity]} list; remove it from one of them"
                )
            owner[identity] = split
    return splits


def split_files(files: list[Path], splits: dict[str, tuple[str, ...]]) -> dict[str, list[Path]]:
    """The files of each split, in the order of its list.

    As in both code bases, files in no list are not used. If several files have one id, as in the
    folders CMU_1 and CMU_2, all of them are used.

    Raises:
        InputError: a split gets no file.
    """
    by_id: dict[str, list[Path]] = {}
    for path in files:
        by_id.setdefault(file_id(path), []).append(path)
    found = {
        split: [path for identity in ids for path in by_id.get(identity, ())]
        for split, ids in splits.items()
    }
    for split, members in found.items():
        if not members:
            raise InputError(
                f"LISTS: expected files of the {split} list, but none of the {len(files)} is in "
                f"it; their ids look like {next(iter(by_id), '<database>/<file>.pkl')!r}, the "
                f"list's like {next(iter(splits[split]), '(the list is empty)')!r}; rename the "
                "folders, or write lists of these files (the published ones name .pkl files)"
            )
    return found

"""Packs wheels of this project and of installed packages, without a network or a build tool.

- A kernel without internet can only install what its dataset brings. So the dataset brings what
  Kaggle's image lacks, packed from the environment in which the run was made.
- The same files give the same bytes.
"""

import base64
import hashlib
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from src.common.errors import InputError
from src.common.files import write_atomically

TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: asl-signs\nRoot-Is-Purelib: true\nTag: {TAG}\n"
# Packages that Kaggle's image lacks or has in too old a version; a line holds dependencies, too.
BROUGHT = (
    *("tyro", "docstring_parser", "typeguard", "typing_extensions"),
    *("cattrs", "attrs"),
    *("jaxtyping", "wadler_lindig"),
    *("pytorch_optimizer", "roma", "filelock"),
)


def project_wheel(checkout: Path, folder: Path) -> Path:
    """Write the wheel of src and the numbered notebooks into a folder.

    Installed with `pip --target`, it makes the target folder a checkout: src/ beside notebooks/.
    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    metadata = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        f"Summary: {project['description']}\nRequires-Python: {project['requires-python']}\n"
    )
    sources = [path for path in (checkout / "src").rglob("*") if path.is_file()]
    notebooks = sorted((checkout / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    files = {
        path.relative_to(checkout).as_posix(): path.read_bytes()
        for path in (*sources, *notebooks, checkout / "pyproject.toml")
        if "__pycache__" not in path.parts
    }
    info = f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    files |= {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": WHEEL.encode()}
    return _write(folder, info, files)


def installed_wheel(name: str, folder: Path) -> Path:
    """Pack an installed package as the wheel that it was installed from.

    Raises:
        InputError: the package is not installed, or holds compiled code.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise InputError(
            f"{name}: expected this package in this environment, found none; run `make`"
        ) from error
    if "Root-Is-Purelib: true" not in (found.read_text("WHEEL") or ""):
        raise InputError(
            f"{name}: expected a package in pure Python, found compiled code, which another "
            "Python cannot load; leave this package out of src/kaggle/wheels.py"
        )
    info = next(p.parts[0] for p in found.files or () if p.parts[0].endswith(".dist-info"))
    # pip has written these; `_write` makes a new RECORD.
    left_out = {f"{info}/{n}" for n in ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")}
    files = {
        str(path): path.read_binary()
        for path in found.files
        # Commands lie outside the packages' folder, and no kernel calls them.
        if not {"..", "__pycache__"} & set(path.parts) and str(path) not in left_out
    }
    return _write(folder, info, files)


def _write(folder: Path, info: str, files: dict[str, bytes]) -> Path:
    files, record = dict(sorted(files.items())), f"{info}/RECORD"
    rows = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()

    def pack(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as wheel:
            for name, data in files.items():
                entry = zipfile.ZipInfo(name)  # dated 1980, so that the bytes do not change
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                wheel.writestr(entry, data)

    return write_atomically(folder / f"{info.removesuffix('.dist-info')}-{TAG}.whl", pack)


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

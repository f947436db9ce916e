"""Fingerprints are honest: they cover what a stage really loads, and change with that and nothing else."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from code_reading import FRONT_DOOR, imported_at_once, says_only_what_it_is, short, tree_of
from dvc_graph import CODE_FOLDERS, ROOT, STAGES, VERBS, address, cells, load, verb_of
from processes import ReportCode, StageProcess
from toy_project import BACKBONES, DATASET

from stages.code import project_code

pytestmark = pytest.mark.slow

CALLS = {
    "inputs": (DATASET,),
    "features": (DATASET, BACKBONES[1]),
    "baselines": (DATASET, BACKBONES[1]),
    "distill": (DATASET, BACKBONES[1]),
    "distill_ipc": (DATASET, BACKBONES[0], "ipc/two_clusters"),
    "probe": (DATASET, BACKBONES[1]),
    "judge": (DATASET, BACKBONES[0]),
    "align": (DATASET,),
    "tables": ("table1",),
    "figures": ("figure1",),
    "report": (),
}


# What is loaded


@pytest.fixture(scope="module")
def loaded(recorded_toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[Path]]:
    """`loaded(verb)`: files of the code that a toy stage loaded and opened in a process of its own."""
    folder = tmp_path_factory.mktemp("loaded")
    shutil.copytree(recorded_toy[0], folder, dirs_exist_ok=True)
    known: dict[str, set[Path]] = {}

    def run(verb: str) -> set[Path]:
        if verb not in known:
            report = folder / f".{verb}.code"
            stage = StageProcess(folder, verb, *CALLS[verb], fault=ReportCode(str(report)))
            assert stage.wait() == 0, stage.output
            known[verb] = {Path(line) for line in report.read_text(encoding="utf-8").splitlines()}
        return known[verb]

    return run


def test_every_verb_is_called() -> None:
    assert sorted(CALLS) == VERBS


@pytest.mark.parametrize("verb", CALLS)
def test_all_that_a_stage_loads_and_opens_is_in_its_fingerprint(
    verb: str, loaded: Callable[[str], set[Path]]
) -> None:
    """But for the two front doors: one is empty, and no module imports names from the other."""
    walked = project_code(ROOT).closure(ROOT / "stages" / f"{verb}.py")
    beyond = {short(path) for path in loaded(verb) - {FRONT_DOOR} - walked}
    assert beyond == {"stages/__init__.py"}
    assert says_only_what_it_is(ROOT / "stages" / "__init__.py")


@pytest.mark.parametrize("verb", CALLS)
def test_a_fingerprint_covers_more_than_is_loaded_only_where_functions_import(
    verb: str, loaded: Callable[[str], set[Path]]
) -> None:
    script = ROOT / "stages" / f"{verb}.py"
    walked = {path for path in project_code(ROOT).closure(script) if path.suffix == ".py"}
    known = {script}
    waiting = [script]
    while waiting:
        names = imported_at_once(tree_of(waiting.pop()))
        files = {ROOT / f"{name.replace('.', '/')}.py" for name in names} & walked
        waiting += files - known
        known |= files
    assert len(known) > 10
    assert {short(path) for path in known - loaded(verb)} == set()


# What changes a fingerprint


def copy_code(source: Path, target: Path) -> None:
    for name in CODE_FOLDERS:
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it is now, whoever edits it while the tests run."""
    folder = tmp_path_factory.mktemp("snapshot")
    copy_code(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def fingerprints(snapshot: Path) -> dict[str, str]:
    """Of every verb."""
    return of_all_verbs(snapshot)


def of_all_verbs(root: Path) -> dict[str, str]:
    code = project_code(root)
    return {verb: code.fingerprint(root / "stages" / f"{verb}.py") for verb in VERBS}


@pytest.fixture
def copied(snapshot: Path, tmp_path: Path) -> Path:
    """A test's own copy of the code."""
    copy_code(snapshot, tmp_path)
    return tmp_path


def add_a_statement(files: Iterator[Path]) -> None:
    for path in files:
        with path.open("a", encoding="utf-8") as file:
            file.write("\nanother_name = 1\n")


def made_stale(package: str, copied: Path, before: dict[str, str]) -> set[str]:
    """Verbs whose fingerprint changes when every module of a package of the library does."""
    add_a_statement((copied / "lgm_core" / package).rglob("*.py"))
    after = of_all_verbs(copied)
    return {verb for verb in VERBS if after[verb] != before[verb]}


def test_another_folder_has_the_same_fingerprints(copied: Path, fingerprints: dict[str, str]) -> None:
    assert of_all_verbs(copied) == fingerprints


@pytest.mark.parametrize(
    ("package", "stale"),
    [
        ("reporting", {"tables", "figures", "report"}),
        ("evaluation", {"baselines", "probe", "judge", "align"}),
        ("method", {"distill", "distill_ipc"}),
        ("preflight", {"inputs"}),
    ],
)
def test_an_edit_makes_stale_what_uses_it_and_nothing_else(
    package: str, stale: set[str], copied: Path, fingerprints: dict[str, str]
) -> None:
    assert made_stale(package, copied, fingerprints) == stale


def test_an_edit_of_how_data_are_read_distils_nothing_again(
    copied: Path, fingerprints: dict[str, str]
) -> None:
    stale = made_stale("data", copied, fingerprints)
    assert {"inputs", "features"} <= stale
    assert not {"baselines", "distill", "align"} & stale


class _OtherDocstrings(ast.NodeTransformer):
    """Changes the text of every docstring."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value = ast.Constant(f"Said otherwise.\n{node.value.value}")
        return node


def test_no_comment_docstring_or_formatting_changes_a_fingerprint(
    copied: Path, fingerprints: dict[str, str]
) -> None:
    """Every file is written anew from its syntax tree: other lines and quotes, no comments but a new one."""
    files = [path for name in CODE_FOLDERS for path in (copied / name).rglob("*.py")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        rewritten = ast.unparse(_OtherDocstrings().visit(ast.parse(text)))
        path.write_text(f"# A comment.\n\n\n{rewritten}\n", encoding="utf-8")
        assert path.read_text(encoding="utf-8") != text
    assert of_all_verbs(copied) == fingerprints


# What DVC makes of it


@pytest.fixture(scope="module")
def repository(recorded_toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished toy project with the code and dvc.yaml, all of it committed to DVC as up to date."""
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(recorded_toy[0], folder, dirs_exist_ok=True)
    copy_code(ROOT, folder)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    stage = StageProcess(folder, "code")
    assert stage.wait() == 0, stage.output
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Repo.init(str(folder), no_scm=True) as repo:
            repo.commit(force=True)
    return folder


@pytest.fixture
def repo(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A test's own copy of it, opened."""
    from dvc.repo import Repo

    shutil.copytree(repository, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with Repo(str(tmp_path)) as opened:
        yield opened


def compute_fingerprints(repo: Any) -> None:
    """What `dvc repro code` does, without its seconds."""
    stage = StageProcess(Path(repo.root_dir), "code")
    assert stage.wait() == 0, stage.output
    repo.commit(target="code", force=True)


def test_after_a_comment_dvc_computes_the_fingerprints_again_and_nothing_else(repo: Any) -> None:
    params = load(Path(repo.root_dir) / "params.yaml")
    known = {address(stage, cell) for stage in STAGES for cell in cells(stage, params)}
    assert {stage.addressing for stage in repo.index.stages} == known
    assert repo.status() == {}
    for path in Path(repo.root_dir, "lgm_core").rglob("*.py"):
        path.write_text(f"# A comment.\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert set(repo.status()) == {"code"}
    compute_fingerprints(repo)
    assert repo.status() == {}


def test_after_edits_of_method_and_report_dvc_makes_no_features_and_probes_again(repo: Any) -> None:
    for package in ("method", "reporting"):
        add_a_statement(Path(repo.root_dir, "lgm_core", package).rglob("*.py"))
    compute_fingerprints(repo)
    stale = {name.partition("@")[0] for name in repo.status()}
    again = {"distill", "distill_ipc", "tables", "figures", "report"}
    made_again = {stage for stage in STAGES if verb_of(stage) in again}
    assert stale == made_again - {"tables"}  # there are no tables of one's own

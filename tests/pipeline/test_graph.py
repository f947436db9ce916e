"""The graph is honest: what dvc.yaml declares is what the stages import, read and write."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML
from toy_project import DATASET, SHOWN, enter, stage_calls, start_project, write_settings

from lgm_core.foundation.layout import Layout
from stages import boundary

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
CODE = sorted([*(ROOT / "lgm_core").rglob("*.py"), *(ROOT / "stages").rglob("*.py")])
LIBRARY = sorted((ROOT / "lgm_core").rglob("*.py"))


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


STAGES: dict[str, dict[str, Any]] = load(ROOT / "dvc.yaml")["stages"]
_INTERPOLATION = re.compile(r"\$\{([^}]+)\}")


def short(path: Path) -> str:
    """A source file's path below the project's folder."""
    return str(path.relative_to(ROOT))


# Interpolation and the matrix, as DVC does them.


def look_up(key: str, mapping: Any) -> Any:
    for part in key.split("."):
        mapping = mapping[part]
    return mapping


def resolve(text: str, params: dict[str, Any], item: dict[str, str]) -> str:
    return _INTERPOLATION.sub(lambda found: str(look_up(found[1], {**params, "item": item})), text)


def items(stage: str, params: dict[str, Any]) -> list[dict[str, str]]:
    """The matrix of a stage: one mapping for every cell, an empty one for a stage without a matrix."""
    axes = {
        name: (
            list(look_up(_INTERPOLATION.fullmatch(axis)[1], params))
            if isinstance(axis, str)
            else [resolve(value, params, {}) for value in axis]
        )
        for name, axis in STAGES[stage].get("matrix", {}).items()
    }
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def texts(entries: Iterable[Any]) -> list[str]:
    """Paths of a list of deps, outs, params or metrics, without what is said about them."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def declared(stage: str, part: str, params: dict[str, Any], item: dict[str, str]) -> list[str]:
    return [resolve(text, params, item) for text in texts(STAGES[stage].get(part, []))]


def verb_of(stage: str) -> str:
    found = re.match(r"python -m stages\.(\w+)\b", STAGES[stage]["cmd"])
    assert found, f"{stage}: cmd is not `python -m stages.<verb> …`"
    return found[1]


def leaves(mapping: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings."""
    if not isinstance(mapping, dict):
        yield prefix
        return
    for key, value in mapping.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def covers(claim: str, key: str) -> bool:
    return key == claim or key.startswith(f"{claim}.")


# Code


class _Imports(ast.NodeVisitor):
    """Dotted names a module imports anywhere, except for the type checker alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        only_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in [*([] if only_types else [node.test, *node.body]), *node.orelse]:
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute here"
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}


def imported(tree: ast.AST) -> set[str]:
    found = _Imports()
    found.visit(tree)
    return found.names


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def own_files(path: Path) -> set[Path]:
    """Files of this project that a module imports, or names as data beside it."""
    tree = tree_of(path)
    modules = {ROOT / f"{name.replace('.', '/')}.py" for name in imported(tree)}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    data = {
        file
        for file in (ROOT / "lgm_core").rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and file.name in words
    }
    return {module for module in modules if module.is_file()} | data


def closure(path: Path) -> set[Path]:
    """A module, everything of this project that it imports, directly or not, and their data files."""
    known, open_ = {path}, [path]
    while open_:
        file = open_.pop()
        added = (own_files(file) if file.suffix == ".py" else set()) - known
        known |= added
        open_ += added
    return known


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_files_it_imports(stage: str) -> None:
    code = [dep for dep in texts(STAGES[stage]["deps"]) if dep.startswith(("lgm_core/", "stages/"))]
    assert len(code) == len(set(code))
    assert set(code) == {short(path) for path in closure(ROOT / "stages" / f"{verb_of(stage)}.py")}


def test_no_import_is_hidden_in_packages() -> None:
    assert [short(path) for path in CODE if path.name == "__init__.py" and own_files(path)] == []


def test_type_checking_imports_are_left_out_and_imports_in_functions_are_not() -> None:
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d\n"
    assert imported(ast.parse(source)) == {"b", "c", "c.d"}


# Settings


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_setting_is_claimed_by_a_stage(suite: Path) -> None:
    params = load(suite)
    claims = {
        claim
        for stage in STAGES
        for item in items(stage, params)
        for claim in declared(stage, "params", params, item)
    }
    interpolated = set(_INTERPOLATION.findall(json.dumps(STAGES)))
    unclaimed = [
        key
        for key in leaves(params)
        if not any(covers(claim, key) for claim in claims) and (key != "suite" or key not in interpolated)
    ]
    assert unclaimed == []


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_claimed_setting_exists(suite: Path) -> None:
    params = load(suite)
    for stage in STAGES:
        for item in items(stage, params):
            for claim in declared(stage, "params", params, item):
                look_up(claim, params)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_suite_is_read_and_named_by_its_file(suite: Path) -> None:
    assert boundary.read_params(suite).suite == suite.stem


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_dvc_itself_accepts_the_graph_of_every_suite(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load(suite)
    names = _dvc_stages(tmp_path, params, monkeypatch)
    expected = {
        "@".join([stage, *(["-".join(item.values())] if item else [])])
        for stage in STAGES
        for item in items(stage, params)
    }
    assert names == expected


def test_dvc_accepts_a_table_with_one_data_set_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load(ROOT / "suites" / "embedded.yaml")
    params["tables"]["table2"]["right"] = params["tables"]["table2"]["left"]
    assert "tables/table2" in _dvc_stages(tmp_path, params, monkeypatch)


def _dvc_stages(folder: Path, params: dict[str, Any], patch: pytest.MonkeyPatch) -> set[str]:
    """Names of the stages that DVC makes of dvc.yaml under these settings, after its own checks."""
    from dvc.repo import Repo

    patch.chdir(folder)
    shutil.copy(ROOT / "dvc.yaml", folder)
    write_settings(params)
    with Repo.init(str(folder), no_scm=True) as repo:
        repo.check_graph(repo.index.stages)
        return {stage.addressing for stage in repo.index.stages}


# What stages really read and write, recorded while a toy cell runs


@dataclass
class Seen:
    """What one run of a stage touched."""

    settings: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


class _RecordingDict(dict[str, Any]):
    """Notes which entries are read, however deep; whoever goes through all of them reads the whole group.

    Asking whether a name exists is no reading: a stage may check its command line.
    """

    def __init__(self, mapping: dict[str, Any], key: str, reads: set[str]) -> None:
        super().__init__(mapping)
        self._key, self._reads = key, reads

    def __getitem__(self, name: str) -> Any:
        return recording(super().__getitem__(name), f"{self._key}.{name}", self._reads)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        self._reads.add(self._key)
        return super().__iter__()

    def __len__(self) -> int:
        self._reads.add(self._key)
        return super().__len__()

    def keys(self) -> Any:
        self._reads.add(self._key)
        return super().keys()

    def values(self) -> Any:
        self._reads.add(self._key)
        return super().values()

    def items(self) -> Any:
        self._reads.add(self._key)
        return super().items()


def recording(value: Any, key: str, reads: set[str]) -> Any:
    """The same setting or group of settings, noting the dotted names of what is read out of it.

    A copy of a group that carries a subclass of its class, so that whoever is handed a spec whole, however
    deep, is still heard; `asdict` and `replace` read every field.
    """
    if isinstance(value, dict):
        return _RecordingDict(value, key, reads)
    if not dataclasses.is_dataclass(value):
        reads.add(key)
        return value
    kind = type(value)
    names = {entry.name for entry in dataclasses.fields(kind)}
    # The method's settings stand at top level in the file.
    prefix = "" if key in {"", "method"} else f"{key}."

    def read(self: Any, name: str) -> Any:
        found = object.__getattribute__(self, name)
        return recording(found, prefix + name, reads) if name in names else found

    listener = type(kind.__name__, (kind,), {"__getattribute__": read})
    heard = object.__new__(listener)
    vars(heard).update(vars(value))
    return heard


def recording_layout(layout: Layout, paths: set[str]) -> Layout:
    """The same layout, noting every path it is asked for."""

    def noted(name: str) -> Any:
        def method(self: Layout, *arguments: str) -> Path:
            path = getattr(Layout, name)(self, *arguments)
            paths.add(path.as_posix())
            return path

        return method

    methods = [name for name, part in vars(Layout).items() if callable(part) and not name.startswith("_")]
    return type("Layout", (Layout,), {name: noted(name) for name in methods})(layout.root, layout.suite)


def files_below(folder: Path) -> set[str]:
    found = [path for top in ("results", "metrics") for path in (folder / top).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[tuple[str, ...], Seen]]:
    """The toy cell's settings, and what every stage touched while it ran with every option switched on."""
    folder = tmp_path_factory.mktemp("recorded")
    seen: dict[tuple[str, ...], Seen] = {}
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        settings = start_project(folder)
        settings["probe"]["patience"] = 2
        settings["datasets"]["again"] = f"folder:{DATASET}"
        settings["datasets"]["unused"] = f"folder:{DATASET}"
        for pair in (*settings["tables"].values(), *settings["figures"].values()):
            if pair.get("right") == DATASET:
                pair["right"] = "again"
        write_settings(settings)
        for call in stage_calls():
            if call[0] in {"tables", "figures"}:  # the second data set's cells are the first's
                shutil.copytree(f"results/toy/{DATASET}", "results/toy/again", dirs_exist_ok=True)
            seen[call] = _record(call, folder, patch)
    return settings, seen


def _record(call: tuple[str, ...], folder: Path, patch: pytest.MonkeyPatch) -> Seen:
    seen, before = Seen(), files_below(folder)
    stage = importlib.import_module(f"stages.{call[0]}")
    with patch.context() as inner:
        read_params, read_layout = stage.read_params, stage.read_layout
        inner.setattr(stage, "read_params", lambda: recording(read_params(), "", seen.settings))
        inner.setattr(stage, "read_layout", lambda params: recording_layout(read_layout(params), seen.paths))
        stage.main(*call[1:])
    seen.made = files_below(folder) - before
    return seen


CALLS = {"/".join(call): call for call in stage_calls()}


def _entry(call: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The stage of dvc.yaml, and its matrix item, that a call of a stage script belongs to."""
    verb, *arguments = call
    if verb in {"tables", "figures"}:
        return f"{verb}/{arguments[0]}", {}
    group, _, name = arguments[-1].rpartition("/")
    group = "figure8" if name == SHOWN else group
    stage = f"{verb}_{group}" if group else verb
    return stage, dict(zip(STAGES[stage]["matrix"], [*arguments[:-1], name], strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_cmd_is_the_call(name: str, recorded: tuple[dict[str, Any], Any]) -> None:
    stage, item = _entry(CALLS[name])
    verb, *arguments = CALLS[name]
    assert resolve(STAGES[stage]["cmd"], recorded[0], item) == " ".join(
        [f"python -m stages.{verb}", *arguments]
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_stage_reads_the_settings_it_declares(
    name: str, recorded: tuple[dict[str, Any], dict[tuple[str, ...], Seen]]
) -> None:
    settings, seen = recorded
    stage, item = _entry(CALLS[name])
    claims = declared(stage, "params", settings, item)
    reads = seen[CALLS[name]].settings
    # The suite's name stands in every path, and so in every dependency and output.
    undeclared = {key for key in reads if not any(covers(claim, key) for claim in claims)} - {"suite"}
    unused = {claim for claim in claims if not any(covers(claim, key) or covers(key, claim) for key in reads)}
    assert (undeclared, unused) == (set(), set())


@pytest.mark.parametrize("name", CALLS)
def test_a_stage_writes_its_outs_and_names_no_other_results_than_its_deps(
    name: str, recorded: tuple[dict[str, Any], dict[tuple[str, ...], Seen]]
) -> None:
    settings, seen = recorded
    stage, item = _entry(CALLS[name])
    outs = declared(stage, "outs", settings, item) + declared(stage, "metrics", settings, item)
    deps = [dep for dep in declared(stage, "deps", settings, item) if dep.startswith("results/")]
    found = seen[CALLS[name]]
    assert [path for path in found.made if not any(_below(path, out) for out in outs)] == []
    assert [out for out in outs if not any(_below(path, out) for path in found.made)] == []
    named_elsewhere = [path for path in found.paths if not any(_below(path, top) for top in outs + deps)]
    assert named_elsewhere == []
    assert [dep for dep in deps if not any(_below(path, dep) for path in found.paths)] == []


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def test_the_recorder_hears_a_spec_that_is_passed_whole() -> None:
    params = boundary.read_params(ROOT / "suites" / "embedded.yaml")
    reads: set[str] = set()
    heard = recording(params, "", reads)
    method = heard.method
    assert isinstance(method, type(params.method))
    assert reads == set()
    assert method.augment.noise_std == params.method.augment.noise_std
    assert reads == {"augment.noise_std"}
    dataclasses.asdict(heard.probe)
    assert {key for key in leaves(load(ROOT / "params.yaml")) if key.startswith("probe.")} <= reads
    row = heard.backbones["lite0"]
    assert not any(covers("backbones", key) for key in reads)
    assert row["source"] == "efficientnet_lite0"
    assert "backbones.lite0.source" in reads
    assert dict(heard.backbones) == params.backbones
    assert "backbones" in reads


_OWN_MODEL = ("probe", "baselines")
_PARTS = {
    "table3": ("probe", "baselines", "ablation/probe"),
    "table6": ("probe", "alignment.json"),
    "table7": ("probe", "alignment.json"),
}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.startswith("tables/")])
def test_a_table_depends_on_the_data_sets_it_names(stage: str) -> None:
    table = stage.removeprefix("tables/")
    results = [dep for dep in texts(STAGES[stage]["deps"]) if dep.startswith("results/")]
    shown = load(ROOT / "params.yaml")["tables"][table]
    assert set(results) == {
        f"results/${{suite}}/${{tables.{table}.{side}}}/{kind}"
        for side in shown
        for kind in _PARTS.get(table, _OWN_MODEL)
    }


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.startswith("figures/")])
def test_a_figure_depends_on_the_data_sets_it_names(stage: str) -> None:
    figure = stage.removeprefix("figures/")
    results = [dep for dep in texts(STAGES[stage]["deps"]) if dep.startswith("results/")]
    start = "tables.table3" if figure == "figure5" else f"figures.{figure}"
    assert results
    for dep in results:
        assert re.match(rf"results/\$\{{suite\}}/\$\{{{re.escape(start)}\.(dataset|left|right)\}}/\w", dep)


def test_variants_are_made_for_their_tables_and_figures_alone() -> None:
    """No other stage depends on what a variant makes, so that Table 2 distils no ablation."""
    for stage, content in STAGES.items():
        for group in ("ablation", "rounds"):
            deps = [dep for dep in texts(content["deps"]) if f"/{group}/" in dep]
            own = (
                stage.endswith(f"_{group}")
                or stage
                in {
                    "ablation": {"tables/table3", "figures/figure5"},
                    "rounds": {"figures/figure3"},
                }[group]
            )
            assert not deps or own, stage


# Files


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *SUITES], ids=lambda path: path.stem)
def test_params_are_in_dvcs_canonical_form(path: Path, tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    rewritten = tmp_path / "params.yaml"
    shutil.copy(path, rewritten)
    apply_overrides(rewritten, [])
    assert rewritten.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *SUITES], ids=lambda path: path.stem)
def test_params_read_the_same_with_every_yaml_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert repr(yaml.safe_load(text)) == repr(YAML(typ="safe", pure=True).load(text)) == repr(load(path))


def test_the_active_suite_is_the_embedded_one() -> None:
    active, embedded = ROOT / "params.yaml", ROOT / "suites" / "embedded.yaml"
    assert active.read_text(encoding="utf-8") == embedded.read_text(encoding="utf-8")


def test_no_flow_list_holds_an_interpolation() -> None:
    def flow_lists(node: Any) -> Iterator[Any]:
        if isinstance(node, list) and node.fa.flow_style():
            yield node
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from flow_lists(part)

    tree = YAML(typ="rt").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert [node for node in flow_lists(tree) if "${" in str(node)] == []


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_matrix_items_are_plain_names(suite: Path) -> None:
    params = load(suite)
    names = {name for stage in STAGES for item in items(stage, params) for name in item.values()}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_-]+", name)] == []


# Imports and the outside world


def _external(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree_of(path))}


def test_the_library_does_not_import_stages() -> None:
    assert [short(path) for path in LIBRARY if "stages" in _external(path)] == []


def test_one_module_knows_the_libraries_of_backbones_and_one_those_of_data_sets() -> None:
    assert {short(path) for path in CODE if _external(path) & {"timm", "open_clip"}} == {
        "lgm_core/backbones.py",
        "lgm_core/library_datasets.py",
    }


def test_slow_libraries_are_imported_where_they_are_used() -> None:
    slow = {"dvc", "open_clip", "timm", "matplotlib", "sklearn", "scipy", "pandas"}
    found = []
    for path in CODE:
        tree = tree_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                node.body = []  # type: ignore[assignment]
        found += [(short(path), name) for name in imported(tree) if name.partition(".")[0] in slow]
    assert found == []


_OUTSIDE = {
    "os": {"environ", "environb", "getenv", "putenv", "unsetenv", "_exit"},
    "sys": {"argv", "exit", "stdout", "stderr", "stdin"},
}
_SPOKEN = {"print", "input", "exit", "quit", "breakpoint"}


def _outside(tree: ast.Module) -> Iterator[str]:
    """Uses of the environment, the command line, the terminal and the process's end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in _OUTSIDE.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names} & _OUTSIDE.get(str(node.module), set())
            yield from (f"{node.module}.{name}" for name in names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SPOKEN:
            yield node.func.id


def test_the_library_reads_no_environment_and_never_prints_or_exits() -> None:
    found = {short(path): list(_outside(tree_of(path))) for path in LIBRARY}
    assert {path: uses for path, uses in found.items() if uses} == {}


def test_the_search_for_the_outside_world_finds_it() -> None:
    source = "import os\nfrom sys import argv\nprint(os.environ['A'], os.getpid())\n"
    assert sorted(_outside(ast.parse(source))) == ["os.environ", "print", "sys.argv"]
    assert "print" in set(_outside(tree_of(ROOT / "stages" / "boundary.py")))


def test_the_library_does_not_mention_the_params_file_but_in_messages() -> None:
    opened = [
        short(path)
        for path in LIBRARY
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value in {"params.yaml", "dvc.yaml"}
    ]
    assert opened == []


@pytest.mark.parametrize("path", [p for p in CODE if p.parent.name == "stages"], ids=lambda path: path.stem)
def test_a_stage_is_short(path: Path) -> None:
    if path.stem not in {"boundary", "launch", "suite"}:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 60

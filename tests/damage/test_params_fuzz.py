"""Whatever stands in params.yaml: it is a complete plan, or one message with the key and what is allowed."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from settings.suite_values import check_shown, check_whole
from toy_project import snapshot

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from lgm_core.settings.checks import parse
from lgm_core.settings.method import METHOD_KEYS, CheckpointSettings
from lgm_core.settings.params import NOTHING, Params, parse_params
from stages.advice import explained
from stages.params import read_params
from stages.process import run_stage

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in SUITES}

Key = tuple[str | int, ...]


def places(value: Any, key: Key = ()) -> Iterator[Key]:
    """Every place in a nested value, the whole first."""
    yield key
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*key, name))


def at(value: Any, key: Key) -> Any:
    for part in key:
        value = value[part]
    return value


WORDS = st.sampled_from(
    ["", " ", "none", "all", "true", "yes", "1e-3", "five", "../x", "..", "/etc/passwd", "a/b", "a\0b", "~",
     "${seed}", "{}", "@", "x:y", "ä", "normal", "timm:vit", "toy:shapes", "folder:../../x", "\U0001f600"]
)  # fmt: skip
NUMBERS = st.sampled_from(
    [
        0,
        1,
        -1,
        2,
        3.5,
        1e-300,
        1e300,
        10**400,
        -(10**30),
        float("inf"),
        -float("inf"),
        float("nan"),
        True,
        None,
    ]
)
VALUES = st.recursive(
    WORDS | NUMBERS | st.text(max_size=5) | st.integers() | st.floats(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(WORDS | st.integers(), parts, max_size=3),
    max_leaves=4,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A suite with one to three places removed, replaced, renamed, doubled or emptied."""
    content = YAML(typ="safe").load(draw(st.sampled_from(sorted(TEXTS.values()))))
    for _ in range(draw(st.integers(1, 3))):
        keys = list(places(content))
        key = draw(st.sampled_from(keys))
        if not key:
            if draw(st.integers(0, 9)) == 0:
                return draw(VALUES)
            continue
        parent, name = at(content, key[:-1]), key[-1]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename", "empty", "swap"]))
        if change == "remove":
            del parent[name]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(WORDS | st.integers())] = parent.pop(name)
        elif change == "empty":
            parent[name] = draw(st.sampled_from([[], {}, None, ""]))
        elif change == "swap":
            parent[name] = copy.deepcopy(at(content, draw(st.sampled_from(keys))))
        else:
            parent[name] = draw(VALUES)
    return content


def is_sound(params: Params) -> bool:
    """Whether a plan can be what was asked: names stay inside the project, sizes fit, tables have data."""
    layout = Layout(Path("/project"), params.suite)
    paths = [
        *(layout.cell(data, net).distilled for data in params.datasets for net in params.backbones),
        layout.metrics("table1"),
    ]
    inside = all(Path("/project") in path.parents and ".." not in path.parts for path in paths)
    method = params.method
    sizes = 0 < method.input_size <= method.resolution and method.steps > 0 and method.learning_rate > 0
    shown = {params.tables["table1"].left, params.tables["table2"].right}
    tables = shown <= {*params.datasets, NOTHING}
    return inside and sizes and tables and len(params.backbones) > 0 and params.checkpoint.minutes >= 0


@pytest.mark.slow
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_mutated_suite_is_a_sound_plan_or_one_clean_error(content: Any) -> None:
    try:
        params = check_whole(content)
    except InputError as error:
        message = explained(error)
        assert message.startswith("params.yaml: ")
        assert "allowed" in message or "missing key" in message or "suites/" in message, message
        assert message.count("params.yaml: ") == 1
    else:
        assert is_sound(params)


SNIPPETS = [b"", b"\t", b": ", b"- ", b"{", b"'", b"&a ", b"*a", b"!!", b"\xff", b"\n"]


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(TEXTS.values())), st.randoms(use_true_random=False))
def test_damaged_text_is_a_sound_plan_or_one_clean_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, chance: random.Random
) -> None:
    content = bytearray(text.encode())
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content))
        stop = start + chance.choice([0, 0, 1, 1, chance.randint(1, 40)])
        content[start:stop] = chance.choice([*SNIPPETS, content[: chance.randint(1, 60)]])
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    try:
        params = check_shown(read_params(path))
    except InputError as error:
        assert str(path) in str(error) or explained(error).startswith("params.yaml: ")
    else:
        assert is_sound(params)


HOSTILE = {
    "deep nesting": "a: " + "[" * 5000,
    "deep mapping": "{a: " * 3000,
    "many digits": "seed: " + "9" * 5000,
    "bad date": "seed: 2001-99-99",
    "alias of nothing": "seed: *x",
    "twice the same key": "seed: 0\nseed: 1\n",
    "an unhashable key": "{a: 1}: 2\n? [a]\n: 1",
    "a python object": "!!python/object/apply:os.system [touch exploded]",
    "a tag": "!x {a: 1}",
    "billion laughs": "a: &a [x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 8)}]" for n in range(12)
    ),
    "itself": "&a [*a]",
    "two documents": "a: 1\n---\nb: 2\n",
    "binary": "\x00\x01",
    "empty": "",
    "only a comment": "# nothing",
    "a number": "5",
    "tabs": "suite:\n\tx: 1",
    "surrogate": "suite: \"\\ud800\"",
    "bom": "\ufeffsuite: x",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_one_clean_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(HOSTILE[name], encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputError) as caught:
        read_params()
    assert explained(caught.value).startswith("params.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_message_stays_short_whatever_was_nested(suite: dict[str, Any]) -> None:
    laughs: list[Any] = ["x" * 10**6] * 8
    for _ in range(40):
        laughs = [laughs] * 8
    suite["steps"] = laughs
    with pytest.raises(InputError, match="steps is ") as caught:
        parse_params(suite)
    assert len(str(caught.value)) < 10**5


def test_text_in_another_encoding_is_one_clean_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes("suite: ä".encode("latin-1"))
    with pytest.raises(InputError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


# Names with path tricks

TRICKS = [
    "../x",
    "..",
    ".",
    "/tmp/x",
    "a/../../x",
    "a\\..\\x",
    "~",
    "~/x",
    "a b",
    "",
    "-rf/",
    "a\0",
    "ä",
    "$HOME",
    "x" * 5000,
]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: repr(trick[:12]))
@pytest.mark.parametrize("place", ["suite", "datasets", "backbones"])
def test_names_with_path_tricks_are_refused(suite: dict[str, Any], place: str, trick: str) -> None:
    if place == "suite":
        suite[place] = trick
    else:
        suite[place][trick] = next(iter(suite[place].values()))
    with pytest.raises(InputError) as caught:
        parse_params(suite)
    assert explained(caught.value).startswith(f"params.yaml: {place} is ")


@pytest.mark.parametrize("trick", ["../x", "/tmp/x", "a/../../x", "a\0", "x" * 5000])
def test_arguments_with_path_tricks_write_nothing_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trick: str
) -> None:
    project = tmp_path / "outer" / "project"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    Path("params.yaml").write_text(TEXTS["embedded"], encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["tables.py", trick])
    with pytest.raises(SystemExit) as ended:
        run_stage("tables", None, "name")
    assert ended.value.code == 1
    assert re.search(r"(?m)^error: ", capsys.readouterr().err)
    assert {path.name for path in project.iterdir()} <= {"params.yaml", ".lgm"}
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["project"]
    assert snapshot(project) == {}


# Groups


@given(st.integers(1, 10**6), st.floats(1e-6, 1e6))
def test_valid_settings_are_parsed_to_its_own_values(steps: int, minutes: float) -> None:
    assert parse(CheckpointSettings, {"steps": steps, "minutes": minutes}) == CheckpointSettings(
        steps, minutes
    )


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=1))
def test_unknown_keys_are_refused_by_name(extra: dict[str, int]) -> None:
    content = {"steps": 1, "minutes": 1.0, **{f"x{key}": value for key, value in extra.items()}}
    with pytest.raises(InputError, match="unknown key x"):
        parse(CheckpointSettings, content)


@given(st.data())
def test_every_setting_is_required(data: st.DataObject) -> None:
    content = YAML(typ="safe").load(TEXTS["embedded"])
    key = data.draw(st.sampled_from([key for key in places(content) if key and isinstance(key[-1], str)]))
    free = {"datasets": 1, "backbones": 1, "dataset_overrides": 1, "variants": 2, "ensembles": 1}
    if len(key) > free.get(key[0], len(key)):
        return  # the user's own names, and what they change
    del at(content, key[:-1])[key[-1]]
    with pytest.raises(InputError, match=re.escape(str(key[-1]))):
        check_whole(content)


@given(st.permutations(list(METHOD_KEYS)))
def test_the_order_of_the_keys_does_not_matter(order: list[str]) -> None:
    content = YAML(typ="safe").load(TEXTS["embedded"])
    turned = {key: content[key] for key in order} | {key: content[key] for key in content if key not in order}
    assert parse_params(turned) == parse_params(content)

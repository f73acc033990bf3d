"""Digests of code: what a step reaches counts, and nothing else."""

import ast
import hashlib
import inspect
import logging
import shutil

import pytest
from project import ROOT, copied_package, edit

from ship.errors import BadInput
from ship.experiment.code import STEPS, WORDS, Code, differing, digests, unchanged
from ship.experiment.params import defaults
from ship.methods import METHODS, method_class

ROWS = {"a": ("ssf", True), "b": ("vpt", False), "c": ("linear", False)}


@pytest.fixture
def package(tmp_path):
    """A copy of the package, to be edited."""
    return copied_package(tmp_path / "ship")


def stale(package, before):
    """The (step, method) pairs whose code is another than `before`."""
    now = everything(package)
    return {pair for pair in before if before[pair] != now[pair]}


def everything(package):
    """A digest of every step, and of every method's."""
    code = Code(package)
    alone = [(step, None) for step in STEPS if step not in {"search", "train"}]
    return {(s, m): code.of(s, m) for s, m in [*alone, *((s, m) for s in ("search", "train") for m in code.methods())]}


def test_a_comment_or_a_docstring_changes_nothing(package):
    """Nor does a blank line."""
    before = everything(package)
    edit(package, "methods/ssf.py", "class SSF", "# a comment\n\n\nclass SSF")
    edit(package, "models/vit.py", '"""A plain pre-norm ViT of timm in pieces', '"""Another word for it')
    assert not stale(package, before)


def test_values_that_look_alike_are_others(package):
    """Nothing, zero and no are constants, too."""
    texts = ["", *(f"x = {value}\n" for value in ("0", "0.0", "False", "None", "...", "''", "b''", "()", "[]", "{}"))]
    found = set()
    for text in texts:
        (package / "errors.py").write_text(text)
        found.add(Code(package).digest("errors.py"))
    assert len(found) == len(texts)


def test_an_edit_of_a_method_is_one_of_its_rows_alone(package):
    """And of what is said of it on the page."""
    before = everything(package)
    edit(package, "methods/ssf.py", "normal_(1, 0.02)", "normal_(1, 0.03)")
    assert stale(package, before) == {("search", "ssf"), ("train", "ssf")}


def test_an_edit_of_what_all_share_is_one_of_all(package):
    """The pieces of a ViT."""
    before = everything(package)
    edit(package, "models/vit.py", "vit.reset_classifier(0)", "vit.reset_classifier(1)")
    assert {step for step, _ in stale(package, before)} == {"backbone", "features", "search", "train"}
    assert {m for s, m in stale(package, before) if s == "train"} == set(Code(package).methods())


def test_a_new_method_makes_no_other_stale(package):
    """Its file and its line in the table."""
    before = everything(package)
    shutil.copy(package / "methods/ssf.py", package / "methods/mine.py")
    edit(package, "methods/__init__.py", '    "ssf": "ssf.SSF",\n', '    "mine": "mine.SSF",\n    "ssf": "ssf.SSF",\n')
    assert not stale(package, before)
    assert Code(package).of("train", "mine") != before["train", "ssf"]


def test_a_row_has_the_digest_of_its_method():
    """By the name of the row; the digest of the search too, where it has one."""
    found, code = digests(ROWS, ""), Code()

    def of(*step):
        return hashlib.sha256(code.of(*step).encode()).hexdigest()[:16]

    assert found["train"] == {name: of("train", method) for name, (method, _) in ROWS.items()}
    assert found["search"] == {"a": of("search", "ssf"), "b": of("settings"), "c": of("settings")}
    assert set(found) == set(STEPS) - {"settings"}


def test_another_default_is_another_digest():
    """DVC reads what params.yaml says alone; a default that changes is an edit for it."""
    before, after = digests(ROWS, defaults()), digests(ROWS, defaults().replace("floor_lr", "floor"))
    assert '"1e-05"' in defaults()
    assert all(before[step] != after[step] for step in before)


def test_an_edit_of_the_search_is_one_of_rows_that_have_one(package):
    """Else it would run anew what nobody has searched."""
    before = everything(package)
    edit(package, "training/search.py", "derive_seed(search.seed, number) % 2**32", "derive_seed(search.seed, number)")
    assert {step for step, _ in stale(package, before)} == {"search"}


def test_how_long_a_recipe_trains_is_code_of_a_run():
    """What reads params.yaml is none: its values are tracked themselves."""
    modules = Code().modules("train", "linear")
    assert "experiment/length.py" in modules
    assert "experiment/rows.py" not in modules


def test_a_module_is_looked_at_once_for_all_runs(package):
    """Thousands of jobs ask while a workflow is planned: what was found is found again without the package."""
    code = Code(package)
    first = {method: code.of("train", method) for method in code.methods()}
    shutil.rmtree(package)
    assert {method: code.of("train", method) for method in first} == first


def test_code_that_changes_while_it_runs_is_refused(package, monkeypatch, caplog):
    """What was computed may be of either: such a log does not say that the step is done."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("ship.experiment.code.PACKAGE", package)
    with unchanged("train", "vpt"):
        assert not caplog.messages
    assert caplog.messages == ["train: done"]
    with (
        pytest.raises(
            BadInput, match=r"train: expected code that stays as it is while it runs, got edits of models/vit\.py"
        ),
        unchanged("train", "vpt") as before,
    ):
        assert "models/vit.py" in before
        edit(package, "models/vit.py", "reset_classifier(0)", "reset_classifier(1)")
    assert caplog.messages == ["train: done"]
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]


@pytest.mark.parametrize("method", METHODS)
def test_options_are_those_of_the_class(method):
    """Read as text, without loading torch; those of a class above it in its file, where it has none of its own."""
    keywords = inspect.signature(method_class(method)).parameters.values()
    known = {p.name: p.default for p in keywords if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
    assert Code().options(method) == known


def test_a_default_that_has_a_name_is_its_name(package):
    """A class need not have options of its own, nor spell their values."""
    edit(package, "methods/ssf.py", "class Scaled", "class Thin(SSF):\n    pass\n\n\nclass Scaled")
    edit(package, "methods/ssf.py", "num_classes: int)", "num_classes: int, *, rank: int = 8, like: str = PLACES[0])")
    edit(package, "methods/__init__.py", '"ssf.SSF"', '"ssf.Thin"')
    assert Code(package).options("ssf") == {"rank": 8, "like": "PLACES[0]"}


def test_a_search_depends_on_how_rows_are_read():
    """It makes the settings of its trials itself."""
    assert Code().modules("search", "linear").keys() >= WORDS - {"experiment/yaml_file.py"}


def test_imports_are_found_wherever_they_stand(package):
    """In functions, too, with the rooms around; not those for type checking alone."""
    late = "from ship.data.sources.draw import stored\n"
    edit(package, "data/seeds.py", "def derive_seed", f"def late():\n    {late}\n\ndef derive_seed")
    edit(package, "errors.py", "\nclass", f"\nif TYPE_CHECKING:\n    {late}\n\nclass")
    code = Code(package)
    assert code.imports("data/seeds.py") == ["data/__init__.py", "data/sources/__init__.py", "data/sources/draw.py"]
    assert code.imports("errors.py") == []


def test_a_step_starts_where_its_command_does():
    """Else an edit of what it computes would make nothing stale."""
    commands = {}
    for path in (ROOT / "ship/cli").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                commands[node.name] = {part.module for part in ast.walk(node) if isinstance(part, ast.ImportFrom)}
    for step, start in STEPS.items():
        module = f"ship/{start}".removesuffix(".py").replace("/", ".")
        assert module in commands["search" if step == "settings" else step]


def test_what_does_not_count_is_something_that_steps_reach():
    """A name that no step reaches would be a slip, or of a module that is gone."""
    code, left, reached = Code(), list(STEPS.values()), set()
    while left:
        if (module := left.pop()) not in reached:
            reached.add(module)
            left += code.imports(module)
    assert reached >= WORDS


def test_a_module_that_is_no_python_is_named(package):
    """With its line, wherever it is asked for."""
    edit(package, "methods/vpt.py", "import", "\0import")
    with pytest.raises(BadInput, match=r"methods/vpt\.py: expected Python, got: "):
        Code(package).modules("train", "vpt")
    edit(package, "methods/ssf.py", "class SSF", "class class SSF")
    code = Code(package)
    with pytest.raises(BadInput, match=r"methods/ssf\.py: expected Python, got: .*line \d+"):
        code.modules("train", "ssf")
    assert code.modules("train", "linear")

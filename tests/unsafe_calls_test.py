"""Nothing that comes from outside is run: no pickle, eval, yaml.load or shell in our code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("beamscope", "pipelines", "transforms", "scripts", "benchmarks", "containers")
# Names that run what they are given, or make files that others may replace.
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.loads", "dill.load", "dill.loads",
    "cloudpickle.load", "cloudpickle.loads", "marshal.load", "marshal.loads", "shelve.open",
    "joblib.load", "torch.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "os.system", "os.popen",
    "tempfile.mktemp", "tf.io.decode_proto", "xml.sax.parse",
}  # fmt: skip
# What a process gets by a pipe from the one that has started it, elements that Beam carries between
# the processes of one job, and the conformance suite of readers.
ALLOWED = {
    ("transforms/apart.py", "pickle.load"),
    ("transforms/block_coders.py", "pickle.loads"),
    ("transforms/slides/readers/testing.py", "pickle.loads"),
}


def unsafe(source):
    """(line, what) of each call that runs what it is given."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        flags = {one.arg: one.value for one in node.keywords}
        if called in NAMES or called in CALLS:
            yield node.lineno, called
        for name in ("allow_pickle", "shell"):
            if name in flags and getattr(flags[name], "value", None) is not False:
                yield node.lineno, f"{called}({name}=…)"
        if called in ("np.load", "numpy.load") and len(node.args) > 2:
            yield node.lineno, f"{called} with more than a file"


def sources():
    return sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if not any(part.is_symlink() for part in path.parents)
    )


def test_nothing_runs_what_it_reads():
    found = {
        (str(path.relative_to(ROOT)), what)
        for path in sources()
        for _, what in unsafe(path.read_text())
    }
    assert len(sources()) > 200
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle; pickle.loads(data)", "yaml.load(text)", "eval(text)", "exec(text)",
        "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=flag)",
        "np.load(path, None, True)", "subprocess.run(text, shell=True)", "torch.load(path)",
        "tempfile.mktemp()", "pd.read_pickle(path)",
    ],
)  # fmt: skip
def test_the_check_finds_them(source):
    assert list(unsafe(source))


@pytest.mark.parametrize(
    "source",
    ["np.load(path)", "yaml.safe_load(text)", "re.compile(text)", "np.load(p, allow_pickle=False)"],
)
def test_the_check_leaves_others_alone(source):
    assert not list(unsafe(source))

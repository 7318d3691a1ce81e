"""Configs whose payload would make a file: each is found, and none is run.

Most are run by MONAI in a test of their own, which shows that they do what the inspection keeps from happening.
"""

import contextlib
import warnings

import pytest
from monai.bundle import ComponentLocator, ConfigParser

LOCATOR = ComponentLocator()  # which looks through all of MONAI once
CONFIG = "configs/inference.json"
SYSTEM = "__import__('os').system('touch MARK')"
CALLERS = "$[level.frame.f_locals.get('self') for level in inspect.stack(0)]"
BUNDLE_ROOT = (
    "$next((str(c.config_root_path.resolve().parent) for c in @callers"
    " if isinstance(c, monai.bundle.ConfigWorkflow)), '.')"
)

FIRING = {
    "target of os": ({"x": {"_target_": "os.system", "command": "touch MARK"}}, "x#_target_: os.system"),
    "target of subprocess": ({"x": {"_target_": "subprocess.getoutput", "cmd": "touch MARK"}}, "x#_target_"),
    "bare builtin": ({"x": {"_target_": "open", "file": "MARK", "mode": "w"}}, "x#_target_: open"),
    "builtins": ({"x": {"_target_": "builtins.open", "file": "MARK", "mode": "w"}}, "x#_target_"),
    "timeit": ({"x": {"_target_": "timeit.timeit", "stmt": SYSTEM, "number": 1}}, "x#_target_"),
    "profile": ({"x": {"_target_": "cProfile.run", "statement": SYSTEM, "filename": "/dev/null"}}, "x#_target_"),
    "torch's exec": (
        {"x": {"_target_": "torch.utils.collect_env.run", "command": "touch MARK"}},
        "x#_target_: torch.utils.collect_env.run",
    ),
    "monai's command": (
        {"x": {"_target_": "monai.utils.misc.run_cmd", "cmd_list": ["touch", "MARK"]}},
        "x#_target_: monai.utils.misc.run_cmd",
    ),
    "bare name of monai": ({"x": {"_target_": "run_cmd", "cmd_list": ["touch", "MARK"]}}, "x#_target_: run_cmd"),
    "target by expression": ({"x": {"_target_": "$__import__('os').system", "command": "touch MARK"}}, "x#_target_"),
    "target by reference": (
        {"f": "$__import__('os').system", "x": {"_target_": "@f", "command": "touch MARK"}},
        "x#_target_: @f: a target must be written as a plain name",
    ),
    "target by macro": (
        {"f": "os.system", "x": {"_target_": "%f", "command": "touch MARK"}},
        "x#_target_: %f: a target must be written as a plain name",
    ),
    "target by key": ({"x": {"command": "touch MARK"}, "x#_target_": "os.system"}, "x#_target_: os.system"),
    "target by long key": ({"x": {"command": "touch MARK"}, "x::_target_": "os.system"}, "x#_target_: os.system"),
    "merged target": ({"x": {"command": "touch MARK"}, "+x": {"_target_": "os.system"}}, "x#_target_: os.system"),
    "nested list": ({"x": [[{"y": [{"_target_": "os.system", "command": "touch MARK"}]}]]}, "x#0#0#y#0#_target_"),
    "requires": ({"x": {"_target_": "torch.nn.Identity", "_requires_": f"${SYSTEM}"}}, "x#_requires_"),
    "disabled": ({"x": {"_target_": "torch.nn.Identity", "_disabled_": f"${SYSTEM}"}}, "x#_disabled_"),
    "desc": ({"x": {"_target_": "torch.nn.Identity", "_desc_": f"${SYSTEM}"}}, "x#_desc_"),
    "import of os": (
        {"imports": ["$import os"], "x": "$os.system('touch MARK')"},
        "x: $os.system('touch MARK'): uses os",
    ),
    "import from": ({"imports": ["$from os import system"], "x": "$system('touch MARK')"}, "imports os.system"),
    "import of another": (
        {"imports": ["$import subprocess as torch"], "x": "$torch.getoutput('touch MARK')"},
        "imports#0",
    ),
    "import elsewhere": ({"y": {"z": "$import subprocess"}, "x": "$@y#z.getoutput('touch MARK')"}, "y#z"),
    "import with more": ({"imports": ["$import os; 1"], "x": "$os.system('touch MARK')"}, "imports more than one name"),
    "alias of a builtin": ({"imports": ["$from os import system as len"], "x": "$len('touch MARK')"}, "imports#0"),
    "dunder import": ({"x": f"${SYSTEM}"}, "names __import__"),
    "eval": ({"x": f"$eval({SYSTEM!r})"}, "names eval"),
    "module of a module": ({"x": "$monai.utils.misc.os.system('touch MARK')"}, "uses monai.utils.misc.os.system"),
    "module of torch": ({"x": "$torch.serialization.os.system('touch MARK')"}, "uses torch.serialization.os.system"),
    "module in a list": (
        {"imports": ["$import os"], "x": "$[m.system('touch MARK') for m in [os]]"},
        "hands on os",
    ),
    "hidden module": (
        {"imports": ["$import os"], "x": "$(lambda torch: torch.system('touch MARK'))(os)"},
        "hides torch",
    ),
    "introspection": (
        {
            "x": "$[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0]"
            ".__init__.__globals__['system']('touch MARK')"
        },
        "reads the attribute __class__",
    ),
    "frames": (
        {"x": "$(lambda: (yield))().gi_frame.f_builtins['__import__']('os').system('touch MARK')"},
        "reads the attribute gi_frame",
    ),
    "globals of a method": (
        {"x": "$@network_def.forward.__globals__['__builtins__']['open']('MARK', 'w')"},
        "reads the attribute __globals__",
    ),
    "walrus": ({"x": "$[f := torch.serialization.os, f.system('touch MARK')]"}, "NamedExpr is beyond the grammar"),
    "f-string": ({"x": "$f'{torch.serialization.os.system(\"touch MARK\")}'"}, "JoinedStr is beyond the grammar"),
    "bound callee": (
        {"x": "$[f('touch MARK') for f in [torch.serialization.os.system]]"},
        "calls f, which may be anything",
    ),
    "macro": ({"hidden": [f"${SYSTEM}"], "x": "%hidden#0"}, "x: %hidden#0: takes config from another place"),
    "reader": (
        {"x": {"_target_": "LoadImaged", "keys": "image", "reader": "subprocess.getoutput", "cmd": "touch MARK"}},
        "x#reader: subprocess.getoutput: names code by text",
    ),
    "reader by key": (
        {"x": {"_target_": "LoadImage", "cmd": "touch MARK"}, "x#reader": "subprocess.getoutput"},
        "x#reader: subprocess.getoutput",
    ),
    "reader later": (
        {
            "load": {"_target_": "LoadImage", "_mode_": "callable"},
            "x": "$@load('subprocess.getoutput', cmd='touch MARK')",
        },
        "load: LoadImage: is handed on uncalled",
    ),
    "mode by key": (
        {
            "load": {"_target_": "LoadImage"},
            "load#_mode_": "callable",
            "x": "$@load('subprocess.getoutput', cmd='touch MARK')",
        },
        "load#_mode_: callable",
    ),
}
"""Payloads by what they use: the keys that are added, and what must stand in a line."""

SILENT = {
    "doctest": ({"x": {"_target_": "doctest.script_from_examples", "s": "1"}}, "x#_target_"),
    "partial": ({"x": {"_target_": "functools.partial", "func": f"$exec({SYSTEM!r})"}}, "x#_target_"),
    "mode by key beside a target": (
        {"load": {"_target_": "LoadImage"}, "load#_mode_": "callable", "_target_": "Compose"},
        "load#_mode_: callable: another mode",
    ),
    "merged reader": (
        {"load": {"_target_": "Compose", "_mode_": "callable"}, "+load": {"_target_": "LoadImage"}},
        "load#_target_: LoadImage: stands apart",
    ),
    "reader by target's key": (
        {"load": {"_target_": "Compose", "_mode_": "callable"}, "load#_target_": "LoadImage"},
        "load#_target_: LoadImage: stands apart",
    ),
    "references in wide letters": (
        {"x": "$[c.update({}) for c in \uff3f\uff3flocal_refs['callers']]"},
        "names MONAI's __local_refs",
    ),
    "writer": (
        {
            "x": {"_target_": "SaveImage", "output_ext": ".nii", "output_dir": "/tmp", "writer": "os.system"},
        },
        "x#writer: os.system",
    ),
    "module of torchvision": (
        {"x": {"_target_": "TorchVision", "name": "functional"}},
        "x#_target_: TorchVision",
    ),
    "monai's instantiate": (
        {"x": {"_target_": "instantiate", "__path": "os.system", "__mode": "default", "command": "touch MARK"}},
        "x#_target_: instantiate",
    ),
    "import by reference": (
        {"imports": ["$import os"], "x": "$@imports#0.system('touch MARK')"},
        "hands on a module that was imported",
    ),
    "import by relative reference": (
        {"imports": ["$import os", "$@#0.system('touch MARK')"], "x": "$@imports#1"},
        "imports#1: $@#0.system('touch MARK'): hands on a module that was imported",
    ),
    "import by the whole": (
        {"imports": ["$import os"], "x": "$@['imports'][0].system('touch MARK')"},
        "refers to the whole config",
    ),
    "running parser": (
        {
            "imports": ["$import inspect"],
            "callers": CALLERS,
            "x": "$[c.update({'y': '$evil'}) for c in @callers if hasattr(c, 'update')]",
        },
        "uses callers otherwise than our own bundles do",
    ),
    "torch.load": ({"x": {"_target_": "torch.load", "f": "models/model.pt", "weights_only": False}}, "x#_target_"),
    "torch.hub": ({"x": {"_target_": "torch.hub.load", "repo_or_dir": "evil/repo", "model": "x"}}, "x#_target_"),
    "torch.ops": ({"x": "$torch.ops.load_library('evil.so')"}, "uses torch.ops.load_library"),
    "cpp_extension": ({"x": {"_target_": "torch.utils.cpp_extension.load", "name": "x", "sources": []}}, "x#_target_"),
    "torch.jit": ({"x": "$torch.jit.load('models/model.ts')"}, "uses torch.jit.load"),
    "execWrapper": (
        {"x": {"_target_": "torch.jit.unsupported_tensor_ops.execWrapper", "code": SYSTEM, "glob": {}, "loc": {}}},
        "x#_target_: torch.jit.unsupported_tensor_ops.execWrapper",
    ),
    "pip": ({"x": {"_target_": "pip.main", "args": ["install", "evil"]}}, "x#_target_: pip.main"),
    "bdb": ({"x": {"_target_": "bdb.Bdb.run", "cmd": SYSTEM}}, "x#_target_: bdb.Bdb.run"),
    "_io": ({"x": {"_target_": "_io.FileIO", "file": "MARK", "mode": "w"}}, "x#_target_: _io.FileIO"),
    "monai.bundle.run": ({"x": {"_target_": "monai.bundle.run", "config_file": "evil.json"}}, "x#_target_"),
    "monai.bundle.load": ({"x": "$monai.bundle.load('evil')"}, "uses monai.bundle.load"),
    "config parser": ({"x": {"_target_": "ConfigParser", "config": {"y": f"${SYSTEM}"}}}, "x#_target_: ConfigParser"),
    "optional_import": ({"x": "$monai.utils.optional_import('os')[0].system('touch MARK')"}, "uses monai.utils"),
    "methodcaller": ({"x": {"_target_": "operator.methodcaller", "name": "system"}}, "x#_target_"),
    "attrgetter": ({"imports": ["$import operator"], "x": "$operator.attrgetter('system')"}, "imports operator"),
    "getattr": ({"x": "$getattr(torch.serialization, 'o' 's')"}, "names getattr"),
    "format": ({"x": "$'{0.real}'.format(1)"}, "reads the attribute format"),
    "dunder text": ({"x": "$@sizes['__class__']"}, "holds text with __"),
    "process of a loader": (
        {"x": "$@network.multiprocessing_context.Process(target=@f).start()", "f": "$torch.serialization.os.system"},
        "reads the attribute multiprocessing_context",
    ),
    "debug mode": ({"x": {"_target_": "torch.nn.Identity", "_mode_": "debug"}}, "x#_mode_: debug"),
    "macro of a file": ({"x": "%/tmp/evil.json#x"}, "takes config from another place"),
    "merger": ({"x": {"_target_": "PatchInferer", "merger_cls": "os.system"}}, "x#merger_cls: os.system"),
    "pickled arrays": ({"x": {"_target_": "LoadImage", "allow_pickle": True}}, "x#allow_pickle: True"),
    "pickled weights": ({"x#weights_only": False}, "x#weights_only: False"),
    "workflow": ({"workflow_name": "evil.Workflow"}, "workflow_name: evil.Workflow"),
    "logging file": ({"logging_file": "/tmp/evil.conf"}, "logging_file: /tmp/evil.conf: names a file"),
    "tracking file": ({"tracking": "other.txt"}, "tracking: other.txt: names a file"),
    "shape": (
        {"network_data_format": {"inputs": {"image": {"spatial_shape": ["().__class__.__base__", "8*n"]}}}},
        "spatial_shape: ().__class__.__base__: is evaluated",
    ),
    "replaced scripts": (
        {
            "callers": CALLERS,
            "imports": ["$import inspect"],
            "scripts": {"settings": {"check_settings": "$lambda callers: [c.update({}) for c in callers]"}},
            "run": ["$@scripts#settings['check_settings'](@callers)"],
        },
        "scripts#settings: ",
    ),
    "scripts from elsewhere": (
        {
            "imports": ["$import runpy"],
            "bundle_root": "/tmp/evil",
            "scripts": {"carried": "$runpy.run_path(@bundle_root + '/scripts/carried.py')['carried']"},
        },
        "bundle_root: /tmp/evil: is where scripts are run from",
    ),
    "callers elsewhere": ({"imports": ["$import inspect"], "mine": {"callers": CALLERS}}, "mine#callers: "),
    "callers handed on": ({"imports": ["$import inspect"], "callers": CALLERS, "x": ["@callers"]}, "x#0: @callers"),
    "globals of a script": ({"x": "$@scripts#cases['os'].system('touch MARK')"}, "uses scripts otherwise"),
    "any script": ({"imports": ["$import runpy"], "x": "$runpy.run_path('models/model.pt')"}, "uses runpy.run_path"),
    "script of the bundle": ({"imports": ["$import scripts.evil as evil"]}, "imports scripts.evil"),
    "script by name": ({"x": {"_target_": "scripts.evil.Network"}}, "x#_target_: scripts.evil.Network"),
    "no expression": ({"x": "$1 if"}, "can't be parsed"),
    "two statements": ({"x": "$1; 2"}, "is no single expression"),
    "deep expression": ({"x": "$" + "(" * 300 + ")" * 300}, "can't be parsed"),
    "long expression": ({"x": "$" + "1+" * 3000 + "1"}, "is longer than 4000 characters"),
    "named references": ({"x": "$__local_refs['imports::0']"}, "names MONAI's __local_refs"),
    "keyword of code": (
        {"x": "$monai.networks.nets.UNet(reader='os.system')"},
        "the argument reader is beyond the grammar",
    ),
}
"""Payloads that need a network, a file that isn't there, or another version of MONAI."""


@pytest.mark.parametrize("kind", [*FIRING, *SILENT])
def test_a_payload_is_found(small_bundle, kind):
    keys, line = {**FIRING, **SILENT}[kind]
    small_bundle.change(keys)
    lines = small_bundle.lines()
    assert any(line in found and found.startswith(f"{CONFIG}: ") for found in lines), lines


@pytest.mark.parametrize("kind", FIRING)
def test_monai_runs_the_payload_of_what_nobody_inspects(small_bundle, kind):
    path = small_bundle.change(FIRING[kind][0])
    parser = ConfigParser()
    parser.locator = LOCATOR
    parser.read_config(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):  # it breaks behind what it has done
            parser.get_parsed_content("x").close()
    assert small_bundle.mark.exists()


def test_configs_are_judged_together(small_bundle):
    small_bundle.change({"imports": ["$import os as system"]}, name="configs/a.json")
    small_bundle.change({"imports": ["$import re as system"]}, name="configs/b.json")
    assert "configs/b.json: imports#0: $import re as system: gives the name system to re" in small_bundle.lines()


def test_metadata_is_a_config(small_bundle):
    small_bundle.change({"x": f"${SYSTEM}"}, name="configs/metadata.json")
    assert any(line.startswith("configs/metadata.json: x: ") for line in small_bundle.lines())


def test_what_metadata_holds_is_not_handed_on(small_bundle):
    small_bundle.change({"callers": CALLERS, "imports": ["$import inspect"]}, name="configs/metadata.json")
    small_bundle.change({"x": "$[c.update({}) for c in @_meta_.get('callers')]"})
    assert any("refers to the metadata" in line for line in small_bundle.lines())


@pytest.mark.parametrize("name", ["docs/evil.JSON", "models/evil.yml", "evil.yaml", "configs/.json"])
def test_configs_of_any_place_are_read(small_bundle, name):
    small_bundle.change({"x": {"_target_": "os.system"}}, name=name)
    assert f"{name}: x#_target_: os.system: is no known component" in small_bundle.lines()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("configs/a.yaml", "x: !!python/object/apply:os.system ['touch MARK']", "can't be read as a config"),
        ("configs/a.yaml", "x: &a {_target_: os.system}\ny: *a", "y#_target_: os.system"),
        ("configs/a.yaml", "x:\n  <<: {_target_: os.system}\n  command: touch MARK", "x#_target_: os.system"),
        ("configs/a.yaml", "x: &a [*a]", "more than 100000 values"),
        ("configs/a.yaml", "x: 1\nx: 2", "stands twice in one object"),
        ("configs/a.yaml", "x: !!set {$exit()}", "$exit(): names exit"),
        ("configs/a.json", '{"x": {"_target_": "os.system", "_target_": "Compose"}}', "_target_: stands twice"),
        ("configs/a.json", "[" * 100_000, "can't be read as a config"),
        ("configs/a.json", b'\xff\xfe{\x00"\x00', "can't be read as a config"),
    ],
)
def test_text_that_readers_differ_in(small_bundle, name, text, line):
    small_bundle.write(name, text)
    assert any(line in found for found in small_bundle.lines()), small_bundle.lines()


def test_aliases_of_yaml_do_not_multiply(small_bundle):
    levels = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    small_bundle.write("configs/a.yaml", "\n".join(levels))
    assert any("more than 100000 values" in line for line in small_bundle.lines())


@pytest.mark.parametrize(
    "value",
    [
        "$-1.5 * len(@sizes) if @sizes[0] > 1 else None",
        "$[n // 2 for n in @sizes if n % 2 == 0]",
        "$lambda image: image / 255",
        "$monai.handlers.from_engine(['pred', 'label'])",
        "$@network.parameters()",
        "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        {"_target_": "monai.networks.nets.UNet", "spatial_dims": 3},
        {"_target_": "monai.transforms.intensity.dictionary.NormalizeIntensityd", "keys": "image"},
        {"_target_": "LoadImaged", "keys": "image", "reader": "NibabelReader"},
        {"_target_": "torch.Tensor.bool", "_mode_": "callable"},
        "100 % of it",
        "someone@example.org",
    ],
)
def test_what_a_sound_config_holds(small_bundle, value):
    small_bundle.change({"x": value})
    assert small_bundle.lines() == []


@pytest.mark.parametrize(
    ("keys", "allow"),
    [
        ({"x": {"_target_": "mine.nets.Network"}}, ("mine",)),
        ({"x": {"_target_": "mine.nets.Network"}}, ("other", "mine.nets.Network")),
        ({"imports": ["$import mine.tools as tools"], "x": "$tools.prepare(@sizes)"}, ("mine.tools",)),
    ],
)
def test_what_the_user_allows(small_bundle, keys, allow):
    small_bundle.change(keys)
    assert small_bundle.lines() != []
    assert small_bundle.lines(allow=("min",)) != []
    assert small_bundle.lines(allow=allow) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("(sys.stdout,)", "(__import__('os').system('touch MARK'),)", "[handler_console] args: "),
        ("(sys.stdout,)", "(sys.stdout.__init__,)", "[handler_console] args: "),
        ("args=(sys.stdout,)", "kwargs={'stream': open('MARK', 'w')}", "[handler_console] kwargs: "),
        ("StreamHandler", "__import__('os').system('touch MARK')", "[handler_console] class: "),
        ("StreamHandler", "FileHandler", "[handler_console] class: FileHandler"),
        ("StreamHandler", "handlers.SocketHandler", "[handler_console] class: handlers.SocketHandler"),
        ("[formatter_full]", "[formatter_full]\nclass=evil.Formatter", "[formatter_full] class: evil.Formatter"),
        ("[formatter_full]", "[formatter_full]\ndefaults=exit()", "[formatter_full] defaults: exit()"),
        ("args=(sys.stdout,)", "a=exit()\nargs=%(a)s", "[handler_console] args: exit()"),
        ("[loggers]", "[DEFAULT]\nargs=exit()\n[loggers]", "[logger_root] args: exit()"),
        ("[loggers]", "loggers", "can't be read as a logging config"),
    ],
)
@pytest.mark.parametrize("name", ["configs/logging.conf", "docs/notes.txt"])
def test_logging_evaluates_nothing(small_bundle, old, new, line, name):
    text = (small_bundle.folder / "configs/logging.conf").read_text().replace(old, new)
    small_bundle.write(name, text.replace("MARK", str(small_bundle.mark)))
    assert any(found.startswith(name) and line in found for found in small_bundle.lines()), small_bundle.lines()

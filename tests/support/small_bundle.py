"""A small sound bundle to which each test adds one thing, and payloads that would leave a mark, a file."""

import json
from pathlib import Path

from monai_patchgrow.tools.inspect import inspect_bundle

CONFIG = {
    "imports": ["$import torch"],
    "device": "$torch.device('cpu')",
    "sizes": [1, 2],
    "network_def": {"_target_": "torch.nn.Linear", "in_features": "$@sizes[0]", "out_features": "@sizes#1"},
    "network": "$@network_def.to(@device)",
    "initialize": [],
    "run": ["$@network"],
}
LOGGING = """[loggers]
keys=root
[handlers]
keys=console
[formatters]
keys=full
[logger_root]
level=INFO
handlers=console
[handler_console]
class=StreamHandler
formatter=full
args=(sys.stdout,)
[formatter_full]
format=%(asctime)s - %(message)s
"""


class SmallBundle:
    """A folder of a bundle with nothing to find, and the file that a payload would make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bundle"
        self.mark = folder / "mark"
        self.write("configs/inference.json", json.dumps(CONFIG))
        self.write("configs/metadata.json", json.dumps({"version": "0.1.0"}))
        self.write("configs/logging.conf", LOGGING)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def change(self, keys, name="configs/inference.json"):
        """Set keys of a config; MARK in their texts is the path of the mark."""
        path = self.folder / name
        config = json.loads(path.read_text()) if path.exists() else {}
        text = json.dumps({**config, **keys}).replace("MARK", str(self.mark))
        return self.write(name, text)

    def findings(self, **options):
        report = inspect_bundle(self.folder, **options)
        assert not self.mark.exists()
        return report.findings

    def lines(self, **options):
        return [str(finding).replace(str(self.mark), "MARK") for finding in self.findings(**options)]

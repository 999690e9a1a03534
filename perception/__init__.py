"""A plugin-based perception stack for autonomous driving. Importing it stays cheap: nothing heavy is loaded here."""

from pathlib import Path

from perception.compat import install as _install_compat
from perception.version import __version__

__all__ = ["__version__"]

_root = Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "plugins").is_dir():
    __path__.append(str(_root))  # bare checkout: perception.plugins -> <checkout>/plugins

_install_compat()

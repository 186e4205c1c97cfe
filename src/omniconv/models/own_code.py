"""Networks of the user's own, named by their import path: code that only the user may ask to run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from torch import nn

from omniconv.errors import FileError, InputError, describe_error, printable
from omniconv.nn.inspection import copy_network

EXAMPLE = "package.module:callable"
"""Form of an import path, for messages."""
RETURNS_ONE = "name a module, or a function without arguments that returns one"


class NetworkCode(str):
    """Import path of a network, such as ``mine:network``, with the function that makes the network.

    It is an argument of models that can be written to files, where it is a plain string: a file names the code, and
    only ``network_code``, which the user calls or asks a command to call, finds it again.

    Attributes:
        make: returns a new network.
    """

    make: Callable[[], Any]

    def __deepcopy__(self, memo: dict[int, Any]) -> NetworkCode:
        return self

    def __reduce__(self) -> Any:
        return str, (str(self),)


def network_code(network: Any, argument: str = "network") -> NetworkCode:
    """Return the code of a network that the user names or gives.

    Args:
        network: ``package.module:callable``, which is imported, also from the working folder; or a module, a class
            without arguments of its constructor, or a function without arguments that returns a module.
        argument: name of the argument for errors.

    Raises:
        InputError: the path does not exist, its import raises, or it names something else.

    Example:
        >>> code = network_code(lambda: nn.Conv2d(3, 2, 1))
        >>> make_network(code)
        Conv2d(3, 2, kernel_size=(1, 1), stride=(1, 1))
    """
    if isinstance(network, NetworkCode):
        return network
    target: Any = network
    if isinstance(network, str):
        target, path = _imported(network, argument), network
    else:
        named = type(network) if isinstance(network, nn.Module) else network
        path = f"{getattr(named, '__module__', '')}:{getattr(named, '__qualname__', '')}"
    if not callable(target):  # a module is, too
        rule = f"is a {type(target).__name__}, not a torch.nn.Module"
        raise InputError(argument, path, rule, "name a module, or a function that returns one")
    code = NetworkCode(path)
    code.make = (lambda: copy_network(target)) if isinstance(target, nn.Module) else target
    return code


def make_network(code: NetworkCode, argument: str = "network") -> nn.Module:
    """Return a new network, which the code of the user makes.

    Raises:
        InputError: the code raises, wants arguments, or returns something else than a module.
    """
    try:
        with _modules_of_working_folder():
            network = code.make()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise
        raise InputError(argument, str(code), f"cannot be made ({describe_error(error)})", RETURNS_ONE) from error
    if not isinstance(network, nn.Module):
        rule = f"returns a {type(network).__name__}, not a torch.nn.Module"
        raise InputError(argument, str(code), rule, "name a module, or a function that returns one")
    return network


def trusted_code(path: object, named: object, network: Any, trust: bool) -> NetworkCode:
    """Return the code of a network whose import path stands in a file, if the user allows to run it.

    Args:
        path: the file or folder, for errors.
        named: the import path in it.
        network: the network that the user gives, see ``network_code``; ``None`` if it is not given.
        trust: import what the file names.

    Raises:
        FileError: the user neither gives the network nor trusts the file.
        InputError: as ``network_code``.
    """
    if network is not None:
        return network_code(network)
    named = printable(named) if isinstance(named, str) else ""
    if not trust:
        rule = f"has a network of your own, {named or 'without a name'}, whose code is not run unasked"
        cure = f"give network={named or EXAMPLE!r} again, or trust=True if you trust its source"
        raise FileError(path, rule, cure)
    return network_code(named)


def own_code(path: object, named: str | None, network: Any, trust: bool) -> NetworkCode | None:
    """Return the code of the network of a run whose settings name ``named``; ``None`` for a network of omniconv.

    Raises:
        FileError: as ``trusted_code``.
        InputError: as ``network_code``, or the network is one of omniconv and ``network`` is given.
    """
    if named:
        return trusted_code(path, named, network, trust)
    if network is not None:
        rule = f"is not needed: {path} has a network of omniconv"
        raise InputError("network", str(network_code(network)), rule, "leave it out")
    return None


def _imported(path: str, argument: str) -> Any:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        rule = f"must be an import path, {EXAMPLE}"
        raise InputError(argument, path, rule, "write the module, a colon, and the name of the network in it")
    try:
        with _modules_of_working_folder():
            target: Any = import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
        return target
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        imported = module in sys.modules
        cure = RETURNS_ONE if imported else f"give {EXAMPLE}, whose package is in the current folder or installed"
        raise InputError(argument, path, f"cannot be made ({describe_error(error)})", cure) from error


@contextmanager
def _modules_of_working_folder() -> Iterator[None]:
    """Find modules in the working folder, as ``python -m`` does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")

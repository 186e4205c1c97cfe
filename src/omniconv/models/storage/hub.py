"""Networks in folders and repositories of the Hugging Face Hub, by ``huggingface_hub``'s mixin for models."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from omniconv.checks import check_extra
from omniconv.errors import FileError, InputError, one_line
from omniconv.files import as_path
from omniconv.models.base import Model
from omniconv.models.registry import model_name
from omniconv.models.storage.model_file import load, save
from omniconv.models.storage.rebuilding import unwrap

FILE = "model.safetensors"
"""File of the network in a repository: the name that the Hub shows as a safe format."""
CARD = """---
{{ card_data }}
---

A convolutional network for images on `{{ surface }}`, a `{{ model }}` of omniconv with {{ parameters }} parameters.

```python
import omniconv as oc

network = oc.models.Model.from_pretrained("USER/NAME")
{{ usage }}
```
"""
"""Model card, a Jinja2 template of ``huggingface_hub.ModelCard``."""


def save_pretrained(model: Model, folder: str | Path) -> Path:
    """Write the network and a model card into a folder, as ``push_to_hub`` uploads it.

    Raises:
        InputError: ``huggingface_hub`` is not installed, or ``save`` refuses the network.
        FileError: the folder cannot be written.
    """
    path = as_path(folder)
    try:
        _hub_files()(model).save_pretrained(path, model_card_kwargs=_card_values(model))
    except OSError as error:
        raise FileError.from_os_error(path, "cannot be written", error, "choose another folder") from error
    return path


def push_to_hub(model: Model, repository: str, **options: Any) -> str:
    """Upload the network and a model card to a repository of the Hub, and return the URL of the commit.

    Args:
        model: the network.
        repository: ``USER/NAME``; created if it does not exist.
        options: further arguments of ``huggingface_hub.ModelHubMixin.push_to_hub``: ``private``, ``token``, ``branch``,
            ``commit_message``, ``create_pr``.

    Raises:
        InputError: ``huggingface_hub`` is not installed, ``save`` refuses the network, or the upload fails.
    """
    files = _hub_files()(model)
    try:
        return str(files.push_to_hub(repository, model_card_kwargs=_card_values(model), **options))
    except (InputError, TypeError):
        raise
    except Exception as error:  # the errors of the HTTP library, and of the name of the repository
        rule = f"could not be uploaded to ({one_line(error)})"
        raise InputError("repository", repository, rule, "log in by: hf auth login, and check the name") from error


def from_pretrained(repository: str | Path, **options: Any) -> Model:
    """Load a network from a folder or from a repository of the Hub, onto the CPU and in evaluation mode.

    Args:
        repository: a folder that ``save_pretrained`` wrote, or ``USER/NAME``.
        options: further arguments of ``huggingface_hub.ModelHubMixin.from_pretrained``: ``revision``, ``token``,
            ``cache_dir``, ``force_download``, ``local_files_only``.

    Raises:
        InputError: ``huggingface_hub`` is not installed, or the file cannot be downloaded.
        FileError: the folder has no network of omniconv, or its file is damaged.
    """
    files = _hub_files()
    logger = logging.getLogger("huggingface_hub.hub_mixin")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of a folder without config.json, which model.safetensors makes needless
    try:
        return files.from_pretrained(repository, **options).model
    except (FileError, TypeError):
        raise
    except Exception as error:  # the errors of the HTTP library, and of the name of the repository
        rule = f"is neither a folder nor could it be downloaded ({one_line(error)})"
        cure = "give a folder, or USER/NAME on a machine with a network"
        raise InputError("repository", str(repository), rule, cure) from error
    finally:
        logger.setLevel(level)


@cache
def _hub_files() -> Any:
    """Return the class of the files of a network in a repository; ``huggingface_hub`` takes half a second to import."""
    check_extra("hub", "the Hugging Face Hub", ["huggingface_hub"])
    from huggingface_hub import ModelHubMixin, hf_hub_download

    class HubFiles(ModelHubMixin, library_name="omniconv", model_card_template=CARD):
        """Files of a network, in the form that ``huggingface_hub`` reads and writes."""

        def __init__(self, model: Model) -> None:
            self.model = unwrap(model)

        def _save_pretrained(self, save_directory: Path) -> None:
            save(self.model, save_directory / FILE)  # type: ignore[arg-type]  # `save` checks it

        @classmethod
        def _from_pretrained(cls, *, model_id: str, **options: Any) -> Any:
            local = Path(model_id)
            if local.is_dir():
                return cls(load(local / FILE))
            return cls(load(hf_hub_download(model_id, FILE, **options)))

    return HubFiles


def _card_values(model: Model) -> dict[str, Any]:
    network: Any = unwrap(model)
    is_of_run = "preparation" in network.preprocessing
    usage = 'answer = oc.Predictor(network)("photo.jpg")' if is_of_run else "outputs = network(signals)"
    return {
        "model": model_name(network), "surface": str(network.surface), "usage": usage,
        "parameters": f"{sum(parameter.numel() for parameter in network.parameters()):,}",
    }  # fmt: skip

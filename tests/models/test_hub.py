"""Networks in folders of the Hugging Face Hub's form; uploads and downloads without a network."""

from __future__ import annotations

import huggingface_hub
import pytest
import torch

import omniconv as oc
from omniconv.errors import FileError, InputError
from omniconv.models import Classifier, Model, UNet
from omniconv.models.storage import hub


def network():
    return UNet(3, 2, surface=oc.Equirectangular(), width=4, depth=1).eval()


def test_a_folder_holds_the_network_and_a_card(tmp_path):
    saved, x = network(), torch.rand(1, 3, 8, 16)
    saved.preprocessing = {"mean": [0.5]}
    assert saved.save_pretrained(tmp_path / "new") == tmp_path / "new"
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["README.md", "model.safetensors"]
    card = (tmp_path / "new/README.md").read_text()
    assert "library_name: omniconv" in card
    assert "images on `equirectangular" in card
    loaded = UNet.from_pretrained(tmp_path / "new")
    assert (type(loaded), loaded.arguments, loaded.preprocessing) == (UNet, saved.arguments, saved.preprocessing)
    torch.testing.assert_close(loaded(x), saved(x))
    with pytest.raises(InputError, match=r"has a UNet, not a Classifier; use oc\.models\.Model\.from_pretrained"):
        Classifier.from_pretrained(tmp_path / "new")
    with pytest.raises(FileError, match="does not exist"):
        Model.from_pretrained(tmp_path)


def test_an_upload_creates_the_repository_and_sends_the_folder(monkeypatch, tmp_path):
    sent = {}

    class Api:
        def __init__(self, token=None):
            sent["token"] = token

        def create_repo(self, repo_id, private, exist_ok):
            sent.update(repo_id=repo_id, private=private)
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, folder_path, **options):
            sent["network"] = Model.from_pretrained(folder_path)
            return "https://huggingface.co/me/net/commit/1"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    assert network().push_to_hub("me/net", private=True, token="secret").endswith("commit/1")
    assert (sent["repo_id"], sent["private"], sent["token"]) == ("me/net", True, "secret")
    assert isinstance(sent["network"], UNet)


def test_errors_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rule = (
        r"^repository='me/missing': is neither a folder nor could it be downloaded \(.*\); give a folder, or USER/NAME"
    )
    with pytest.raises(InputError, match=rule) as caught:
        Model.from_pretrained("me/missing", cache_dir=tmp_path, local_files_only=True)
    assert "\n" not in str(caught.value)

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub.hub_mixin.HfApi, "create_repo", offline)
    with pytest.raises(InputError, match=r"^repository='me/net': could not be uploaded to \(no network\); log in by"):
        network().push_to_hub("me/net")
    hub._hub_files.cache_clear()
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^packages='huggingface_hub': is not installed, which the Hugging Face Hub"):
        network().push_to_hub("me/net")

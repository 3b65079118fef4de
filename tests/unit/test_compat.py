"""The cure for a torchvision that was built against another torch, in fresh interpreters: a schema cannot be taken back."""
from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@needs("torchvision")
def test_everything_that_needs_torchvision_can_be_imported() -> None:
    python("from models.compat import mend_torchvision; mend_torchvision(); mend_torchvision()\n"
           "import torchvision; from diffusers import StableDiffusionPipeline; from transformers import CLIPTextModel")


@needs("controlnet_aux")
@needs("rembg")
def test_controlnet_aux_and_rembg_work_beside_it() -> None:
    printed = python("from models.compat import mend_torchvision; mend_torchvision()\n"
                     "from PIL import Image; from controlnet_aux import CannyDetector; import rembg, cv2\n"
                     "print(CannyDetector()(Image.new('RGB', (64, 64)), detect_resolution=64, image_resolution=64).size)")
    assert printed.strip().endswith("(64, 64)")


def test_a_torchvision_that_works_is_left_alone() -> None:
    printed = python("from models import compat; compat._compiled = lambda folder: [folder]; compat._loads = lambda file: True\n"
                     "import torch; print(compat.mend_torchvision(), hasattr(torch.ops.torchvision, 'nms'))")
    assert printed.split() == ["False", "False"]


def test_without_torchvision_nothing_is_declared() -> None:
    printed = python("import importlib.util as u; u.find_spec = lambda name: None\n"
                     "from models import compat; import torch; print(compat.mend_torchvision(), hasattr(torch.ops.torchvision, 'nms'))")
    assert printed.split() == ["False", "False"]

"""The patch autoencoder: PCA against its definition, a decoder that starts at the linear solution and improves on it."""
import numpy as np
import torch

from models.lab.autoencoder import DecoderConfig, edge_loss, psnr, quality, train_decoder
from models.lab.budget import Budget
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder, fit_patches


def blobs(count: int, seed: int) -> torch.Tensor:
    """Smooth random pictures [count, 3, 256, 256] in [0, 1]."""
    small = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, 256, mode="bicubic").clamp(0, 1)


def fitted(channels: int = 8) -> PatchEncoder:
    patches = torch.nn.functional.unfold(blobs(6, 0) * 2 - 1, 16, stride=16).transpose(1, 2).reshape(-1, 3, 16, 16)
    encoder = PatchEncoder(channels)
    basis, mean, scale = fit_patches(patches, channels)
    encoder.load_state_dict({"basis": basis, "mean": mean, "scale": scale})
    return encoder


def test_basis_is_orthonormal_and_latents_have_unit_variance():
    encoder = fitted()
    rows = encoder.basis.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-4)
    assert abs(float(encoder(blobs(6, 0)).var()) - 1) < 0.15


def test_projection_is_idempotent():
    """Encoding the least-squares picture gives the same latents back."""
    encoder = fitted()
    latents = encoder(blobs(2, 1))
    assert torch.allclose(encoder(encoder.transpose(latents)), latents, atol=1e-3)


def test_untrained_decoder_is_the_transpose():
    encoder = fitted()
    decoder = PatchDecoder(8, (16, 16, 16))
    decoder.projection.load_state_dict(encoder.state_dict())
    latents = encoder(blobs(2, 2))
    assert torch.equal(decoder(latents), encoder.transpose(latents))


def test_edge_loss_ignores_brightness_and_sees_edges():
    flat, step = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1
    assert float(edge_loss(flat + 0.5, flat)) == 0
    assert float(edge_loss(step, flat)) > 0


def test_psnr_of_a_known_error():
    a = torch.full((1, 3, 4, 4), 0.5)
    assert abs(psnr(a + 0.1, a) - 20.0) < 1e-3


def test_training_improves_on_linear_and_resumes(tmp_path):
    encoder, held_out = fitted(), blobs(4, 9)
    pool = (blobs(16, 3).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    config = DecoderConfig(widths=(16, 16, 16), batch_size=4, lr=2e-3, latent_noise=0.0)
    said: list[str] = []
    pictures = lambda rng, n: pool[rng.integers(0, len(pool), n)]
    decoder = train_decoder(encoder, pictures, held_out, Budget(9, 120), tmp_path / "d.pt", config, say=said.append)
    assert quality(decoder, encoder, held_out) > quality(None, encoder, held_out)
    train_decoder(encoder, pictures, held_out, Budget(9, 3), tmp_path / "d.pt", config, say=said.append)
    assert torch.load(tmp_path / "d.pt", weights_only=True)["updates"] == 123

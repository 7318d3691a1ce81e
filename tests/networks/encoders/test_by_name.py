"""Backbones by name: their usual parameter counts, every dimension, the smallest patch that is stated."""

import pytest
import torch

from monai_patchgrow.networks import ViTEncoder, backbone, backbone_rule
from monai_patchgrow.schedules.plan import GrowthSchedule

SMALL = {  # options that make each one tiny
    "resnet18": {"widen_factor": 0.125},
    "small_cnn": {"channels": (8, 8, 8, 8)},
    "vit": {"hidden_size": 24, "mlp_dim": 16, "num_layers": 2, "num_heads": 2},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "convnextv2": {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
    "deit": {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 2},
}
EXTRA = ("mobilenet_v2", "convnextv2", "deit")


def tiny(name, **options):
    if name in EXTRA:
        pytest.importorskip("transformers", reason="the extra is not installed")
    torch.manual_seed(0)
    return backbone(name, in_channels=1, latent_dim=5, **SMALL[name], **options)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_resnets_have_the_usual_number_of_parameters(name, parameters):
    assert count(backbone(name, in_channels=3, latent_dim=1000)) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mobilenet_v2", 3_504_872), ("convnextv2", 28_635_496), ("deit", 22_051_432)],
)
def test_those_of_the_extra_have_the_usual_number_of_parameters(name, parameters):
    pytest.importorskip("transformers", reason="the extra is not installed")
    assert count(backbone(name, in_channels=3, latent_dim=1000)) == parameters


@pytest.mark.parametrize(("spatial_dims", "parameters"), [(1, 41_040), (2, 105_648), (3, 299_472)])
def test_the_small_cnn_is_small(spatial_dims, parameters):
    assert count(backbone("small_cnn", in_channels=1, latent_dim=64, spatial_dims=spatial_dims)) == parameters


@pytest.mark.parametrize("name", list(SMALL))
def test_the_smallest_patch_and_a_larger_one(name):
    encoder, (edge, _) = tiny(name), backbone_rule(name).total_stride
    assert encoder(torch.rand(2, 1, edge, edge)).shape == (2, 5)
    assert encoder(torch.rand(2, 1, 2 * edge, 3 * edge)).shape == (2, 5)


@pytest.mark.parametrize("name", list(SMALL))
def test_every_parameter_that_learns_gets_a_gradient(name):
    encoder = tiny(name)
    encoder(torch.rand(2, 1, 64, 64)).square().sum().backward()
    learning = {key: parameter for key, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert [key for key, parameter in learning.items() if parameter.grad is None] == []


@pytest.mark.parametrize("name", list(SMALL))
def test_nothing_random_is_active_in_training(name):
    encoder = tiny(name)
    patches = torch.rand(2, 1, 32, 32)
    assert torch.equal(encoder(patches), encoder(patches))


@pytest.mark.parametrize("name", ["resnet18", "small_cnn", "vit"])
@pytest.mark.parametrize("spatial_dims", [1, 3])
def test_in_1d_and_3d(name, spatial_dims):
    encoder = tiny(name, spatial_dims=spatial_dims)
    assert encoder(torch.rand(2, 1, *[32] * spatial_dims)).shape == (2, 5)


def test_a_patch_s_latent_of_the_small_cnn_is_its_own():
    encoder, patches = tiny("small_cnn").double(), torch.rand(4, 1, 32, 32, dtype=torch.double)
    assert torch.allclose(encoder(patches)[1:2], encoder(patches[1:2]), rtol=0, atol=1e-12)


def test_a_resnet_without_any_batch_norm():
    encoder = backbone("resnet18", in_channels=1, latent_dim=5, norm=("group", {"num_groups": 8}))
    norms = [type(module).__name__ for module in encoder.modules() if "Norm" in type(module).__name__]
    assert norms == ["GroupNorm"] * 20
    assert encoder(torch.rand(1, 1, 32, 32)).shape == (1, 5)


def test_the_vit_s_full_patch_is_as_monai_has_it():
    from monai.networks.nets import ViT

    encoder = ViTEncoder(1, 5, full_patch=(32, 48), **SMALL["vit"])
    plain = ViT(
        1,
        (32, 48),
        16,
        spatial_dims=2,
        classification=True,
        num_classes=5,
        post_activation="",
        qkv_bias=True,
        **SMALL["vit"],
    )
    plain.load_state_dict(encoder.state_dict())
    patches = torch.rand(2, 1, 32, 48)
    assert torch.equal(encoder(patches), plain(patches)[0])
    encoder(torch.rand(2, 1, 16, 64))
    assert torch.equal(encoder(patches), plain(patches)[0])


@pytest.mark.parametrize(("options", "tokens"), [({}, 16), ({"full_patch": 32}, 4)])
def test_a_vit_learns_its_positions_for_the_patch(options, tokens):
    encoder = tiny("vit", patch_size=[64, 64], **options)
    assert encoder.patch_embedding.position_embeddings.shape == (1, tokens, 24)
    assert tiny("vit", patch_size=[32, 96]).patch_embedding.position_embeddings.shape == (1, 12, 24)


def test_other_backbones_take_any_patch():
    assert tiny("small_cnn", patch_size=[64, 64])(torch.rand(2, 1, 32, 48)).shape == (2, 5)


@pytest.mark.parametrize("name", ["vit", "deit"])
def test_borders_of_a_patch_are_never_cut_off(name):
    with pytest.raises(ValueError, match="takes patches of multiples of them, got \\(32, 40\\)"):
        tiny(name)(torch.rand(2, 1, 32, 40))


@pytest.mark.parametrize(("name", "stages"), [("resnet50", 3), ("vit", 5)])
def test_a_plan_of_growing_patches(name, stages):
    stride = backbone_rule(name).total_stride
    schedule = GrowthSchedule.plan(
        patch_size=(64, 64), total_stride=stride, batch_size=1, max_epochs=10, curriculum="efficiency"
    )
    assert schedule.stages[0].patch_size == stride
    assert len(schedule.stages) >= stages


def test_refusals():
    with pytest.raises(ValueError, match=r"backbone must be one of resnet18, .* got 'resnet51'"):
        backbone("resnet51", in_channels=1, latent_dim=5)
    with pytest.raises(ValueError, match=r"'deit' is 2-D only, got spatial_dims=3: take one of \['resnet18'"):
        backbone("deit", in_channels=1, latent_dim=5, spatial_dims=3)
    with pytest.raises(ValueError, match="multiples of 8, got 12"):
        backbone("small_cnn", in_channels=1, latent_dim=5, channels=(8, 12))


def test_a_missing_extra_is_named(monkeypatch):
    import monai_patchgrow.networks.encoders.transformers as module

    monkeypatch.setattr(module, "optional_import", lambda *args, **options: (None, False))
    with pytest.raises(ValueError, match=r'needs the package transformers: pip install "monai-patchgrow\[transform'):
        backbone("mobilenet_v2", in_channels=1, latent_dim=5)

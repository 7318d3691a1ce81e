"""What is read from nnU-Net's plans: figures mirrored, axes swapped by the orientation, faults in one line."""

import json

import pytest

from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

CONFIGURATION = {
    "batch_size": 2,
    "patch_size": [16, 128, 64],
    "spacing": [3.5999999046325684, 0.625, 0.5],
    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, True],
    "batch_dice": True,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "features_per_stage": [32, 64, 128],
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 4]],
        },
    },
}
PLANS = {
    "dataset_name": "Dataset101_PetCt",
    "transpose_forward": [0, 1, 2],
    "configurations": {"3d_fullres": CONFIGURATION, "wide": {"inherits_from": "3d_fullres", "batch_size": 4}},
    "foreground_intensity_properties_per_channel": {
        "0": {"percentile_00_5": -100.0, "percentile_99_5": 200.0, "mean": 50.0, "std": 25.0},
    },
}
DATASET = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "lesion": 1}}


@pytest.fixture
def read(tmp_path):
    def read(plans=PLANS, dataset=DATASET, **options):
        for name, content in (("plans.json", plans), ("dataset.json", dataset)):
            (tmp_path / name).write_text(json.dumps(content))
        return read_nnunet_plan(tmp_path / "plans.json", tmp_path / "dataset.json", **options)

    return read


def with_configuration(**changes):
    return {**PLANS, "configurations": {"3d_fullres": {**CONFIGURATION, **changes}}}


def test_sizes_are_mirrored(read):
    plan = read()
    assert plan.patch_size == (64, 128, 16)
    assert plan.strides == ((1, 1, 1), (2, 2, 1), (4, 2, 2))
    assert plan.kernel_sizes[0] == (3, 3, 1)
    assert plan.total_stride == (8, 4, 2)


def test_spacing_loses_the_rounding_errors_of_float32(read):
    assert read().spacing == (0.5, 0.625, 3.6)


def test_channels_and_labels(read):
    plan = read()
    assert plan.channels == ("CT", "PET")
    assert plan.labels == {"0": "background", "1": "lesion"}


def test_normalisation_of_each_channel(read):
    assert read().normalisation == (
        {"scheme": "CTNormalization", "clip": [-100.0, 200.0], "mean": 50.0, "std": 25.0},
        {"scheme": "ZScoreNormalization", "masked_to_nonzero": True},
    )


def test_labels_of_a_decathlon_dataset_json(read):
    plan = read(dataset={"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background", "1": "lesion"}})
    assert plan.channels == ("CT", "PET")
    assert plan.labels == {"0": "background", "1": "lesion"}


def test_a_configuration_inherits(read):
    plan = read(configuration="wide")
    assert (plan.batch_size, plan.patch_size) == (4, (64, 128, 16))


def test_swapped_axes_go_into_the_orientation(read):
    # The plan's first axis is the array's second one, y: it has to become MONAI's last.
    plan = read({**PLANS, "transpose_forward": [1, 0, 2]})
    assert plan.orientation == "RSA"
    assert plan.patch_size == (64, 128, 16)


def test_images_stored_in_another_orientation(read):
    assert read({**PLANS, "transpose_forward": [1, 0, 2]}, orientation="LPS").orientation == "LSP"


def test_plans_without_an_architecture(read):
    old = {key: value for key, value in CONFIGURATION.items() if key != "architecture"}
    old |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 32,
        "unet_max_num_features": 100,
        "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 4]],
        "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    }
    plan = read({**PLANS, "configurations": {"3d_fullres": old}})
    assert plan.features == (32, 64, 100)
    assert plan.total_stride == (8, 4, 2)


def test_slices(read):
    flat = {
        "patch_size": [128, 64],
        "spacing": [0.625, 0.5],
        "architecture": {
            "network_class_name": "x.PlainConvUNet",
            "arch_kwargs": {
                "features_per_stage": [32, 64, 64],
                "kernel_sizes": [[3, 3], [3, 3], [3, 3]],
                "strides": [[1, 1], [1, 2], [2, 2]],
            },
        },
    }
    plan = read({**PLANS, "configurations": {"2d": {**CONFIGURATION, **flat}}}, configuration="2d")
    assert (plan.spatial_dims, plan.patch_size, plan.total_stride) == (2, (64, 128), (4, 2))


def residual(**changes):
    """A plan of nnU-Net's presets with residual encoders."""
    arguments = {
        **CONFIGURATION["architecture"]["arch_kwargs"],
        "n_blocks_per_stage": [1, 3, 4],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
        **changes,
    }
    return with_configuration(architecture={"network_class_name": "x.ResidualEncoderUNet", "arch_kwargs": arguments})


def test_a_residual_encoder_is_nnunets_own(read, caplog):
    plan = read(residual())
    assert (plan.network, plan.blocks, plan.decoder_blocks, plan.conv_bias) == (
        "ResidualEncoderUNet", (1, 3, 4), (1, 1), True,
    )  # fmt: skip
    assert plan.needs_nnunet
    assert caplog.text == ""


def test_a_plain_plan_has_monais_network(read):
    plan = read()
    assert (plan.network, plan.needs_nnunet, plan.conv_bias) == ("DynUNet", False, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_op": "torch.nn.BatchNorm3d"}, "norm_op must be InstanceNorm in a bundle of nnU-Net's network"),
        ({"norm_op_kwargs": {"affine": False}}, "norm_op_kwargs must be"),
        ({"nonlin": "torch.nn.ReLU"}, "nonlin must be LeakyReLU"),
        ({"nonlin_kwargs": {"negative_slope": 0.2}}, "nonlin_kwargs must be"),
        ({"dropout_op": "torch.nn.Dropout3d"}, "dropout_op must be None"),
        ({"stem_channels": 16}, "stem_channels must be None"),
        ({"n_blocks_per_stage": [1, 3]}, "n_blocks_per_stage must be a list of 3 entries"),
        ({"n_blocks_per_stage": [1, 3, 0]}, "n_blocks_per_stage must be an integer from 1 to 64, got 0"),
    ],
)
def test_a_residual_encoder_of_other_parts_is_refused(read, changes, message):
    with pytest.raises(ValueError, match=message):
        read(residual(**changes))


def test_former_plans_of_residual_encoders(read):
    old = {key: value for key, value in CONFIGURATION.items() if key != "architecture"}
    old |= {
        "UNet_class_name": "ResidualEncoderUNet",
        "UNet_base_num_features": 32,
        "unet_max_num_features": 100,
        "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 4]],
        "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "n_conv_per_stage_encoder": [1, 3, 4],
        "n_conv_per_stage_decoder": [1, 1],
    }
    plan = read({**PLANS, "configurations": {"3d_fullres": old}})
    assert (plan.network, plan.blocks, plan.decoder_blocks, plan.conv_bias) == (
        "ResidualEncoderUNet", (1, 3, 4), (1, 1), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ({"configurations": {}}, "has no configuration '3d_fullres'"),
        ({"modality": {}}, 'no "configurations" in it: is it a plan of nnU-Net v2'),
        (with_configuration(previous_stage="3d_lowres"), "is a cascade's: it takes what '3d_lowres' predicted"),
        (with_configuration(normalization_schemes=["Own", "Own"]), "normalisation 'Own' is none of nnU-Net's own"),
        (with_configuration(patch_size=[16, 128, 60]), "got 60 on axis 0 .stride 8."),
        (
            with_configuration(architecture={"network_class_name": "x.Primus", "arch_kwargs": {}}),
            "a 'Primus' has no counterpart in MONAI",
        ),
    ],
)
def test_plans_that_make_no_bundle(read, plans, message):
    with pytest.raises(ValueError, match=message):
        read(plans)


def test_a_missing_key_is_named(read):
    lacking = {key: value for key, value in CONFIGURATION.items() if key != "batch_dice"}
    with pytest.raises(ValueError, match="no 'batch_dice' in configuration 3d_fullres"):
        read({**PLANS, "configurations": {"3d_fullres": lacking}})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2]}, "regions_class_order must have one value per region"),
        ({"background": 0, "ignore": 1}, r"without gaps, got \[0\]"),
        ({"background": 0, "lesion": 2}, r"without gaps, got \[0, 2\]"),
    ],
)
def test_labels_that_make_no_bundle(read, labels, message):
    with pytest.raises(ValueError, match=message):
        read(dataset={**DATASET, "labels": labels})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"plans\.json: can't be read as JSON"):
        read_nnunet_plan(tmp_path / "plans.json", tmp_path / "dataset.json")


@pytest.mark.parametrize("name", ["$evil", "@T1", "%perfusion", "foo@#bar", "a|b", "two\nlines"])
def test_names_that_a_config_would_evaluate_are_refused(read, name):
    with pytest.raises(ValueError, match="names must not start with"):
        read(dataset={**DATASET, "labels": {"background": 0, name: 1}})


@pytest.mark.parametrize("orientation", ["XYZ", "LP", "RRS"])
def test_orientations_that_are_none(read, orientation):
    with pytest.raises(ValueError, match="orientation"):
        read(orientation=orientation)


def test_channels_without_numbers(read):
    with pytest.raises(ValueError, match='"channel_names" must be names by number'):
        read(dataset={**DATASET, "channel_names": {"CT": "0", "PET": "1"}})


def test_labels_of_a_decathlon_dataset_json_may_be_numbers(read):
    plan = read(dataset={**DATASET, "labels": {"0": "background", "1": "1", "2": "2"}})
    assert plan.labels == {"0": "background", "1": "1", "2": "2"}


def test_another_network_than_ours_is_told(read, caplog):
    network = {**CONFIGURATION["architecture"]["arch_kwargs"], "norm_op": "torch.nn.BatchNorm3d"}
    read(with_configuration(architecture={**CONFIGURATION["architecture"], "arch_kwargs": network}))
    assert "a bundle's DynUNet has norm_op InstanceNorm, the plan torch.nn.BatchNorm3d" in caplog.text


def test_two_coarse_axes_are_not_resampled_by_themselves(read):
    assert not read(with_configuration(spacing=[5.0, 5.0, 1.0])).is_anisotropic
    assert read(with_configuration(spacing=[5.0, 1.0, 1.0])).is_anisotropic

"""Correct optimizers pass every claim: torch's first-order dense ones, and this package's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim import Optimizer

from catsdogs import optim
from catsdogs.contract import check
from tests.support.slow import slow_except

Factory = Callable[..., Optimizer]
TORCH: dict[str, Factory] = {
    "asgd": torch.optim.ASGD,
    "adadelta": torch.optim.Adadelta,
    "adafactor": torch.optim.Adafactor,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adam_amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adam_foreach": partial(torch.optim.Adam, foreach=True),
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "nadam_decoupled": partial(torch.optim.NAdam, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "rmsprop_full": partial(torch.optim.RMSprop, momentum=0.9, centered=True),
    "rprop": torch.optim.Rprop,
    "sgd": partial(torch.optim.SGD, lr=0.01),
    "sgd_momentum": partial(torch.optim.SGD, lr=0.01, momentum=0.9, dampening=0.1),
    "sgd_nesterov": partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "muon": torch.optim.Muon,
}
OURS: dict[str, tuple[Factory, Factory]] = {
    "sgd": (optim.SGD, torch.optim.SGD),
    "momentum": (partial(optim.SGD, momentum=0.9), partial(torch.optim.SGD, momentum=0.9)),
    "rmsprop": (optim.RMSprop, torch.optim.RMSprop),
    "adam": (optim.Adam, torch.optim.Adam),
    "adam_amsgrad": (partial(optim.Adam, amsgrad=True), partial(torch.optim.Adam, amsgrad=True)),
    "adamw": (optim.AdamW, torch.optim.AdamW),
}
ONE_MODEL = "its parameters are those of one linear model, which are built and updated together"


def failures(factory: Factory, reference: Factory) -> list[str]:
    return [str(f) for f in check(factory, reference=reference) if f.verdict == "fail"]


@pytest.mark.parametrize("name", slow_except(["adam", "sgd_momentum"], TORCH))
def test_every_first_order_dense_optimizer_of_torch_passes_every_claim(name: str) -> None:
    assert failures(TORCH[name], TORCH[name]) == []


@pytest.mark.parametrize("table_dtype", [None, torch.float16], ids=str)
def test_saga_passes_every_claim_with_a_table_of_either_precision(
    table_dtype: torch.dtype | None,
) -> None:
    saga = partial(optim.SAGA, lr=1e-2, block_sizes=(8, 8, 8, 4), table_dtype=table_dtype)
    assert [str(finding) for finding in check(saga) if finding.verdict == "fail"] == []


@pytest.mark.parametrize("num_samples", [12, 28])
def test_linear_saga_passes_every_claim_that_applies_to_a_linear_model(
    num_samples: int,
) -> None:
    findings = check(partial(optim.LinearSAGA, lr=1e-2, num_samples=num_samples))
    assert [str(finding) for finding in findings if finding.verdict == "fail"] == []
    not_applicable = {f.name: f.evidence for f in findings if f.verdict == "not applicable"}
    assert not_applicable == {
        "takes_betas_as_a_list": "its constructor takes no betas",
        "honours_the_settings_of_each_group": ONE_MODEL,
        "takes_new_groups_during_training": ONE_MODEL,
        "climbs_with_maximize": "its constructor takes no maximize",
        "gives_the_same_numbers_with_foreach": "its constructor takes no foreach",
        "gives_the_same_numbers_with_fused": "its constructor takes no fused",
        "gives_the_same_numbers_with_capturable": "its constructor takes no capturable",
        "keeps_the_largest_second_moment_with_amsgrad": (
            "its constructor takes none of amsgrad, ams_bound"
        ),
        "looks_ahead_with_nesterov": "its constructor takes no nesterov",
        "lets_gradients_flow_through_a_differentiable_step": (
            "its constructor takes no differentiable"
        ),
        "takes_channels_last_weights": "it takes the parameters of one linear model",
        "replays_from_a_cuda_graph": "needs device=cuda",
        "continues_on_the_gpu_from_a_cpu_checkpoint": "needs device=cuda",
        "skips_parameters_without_gradient": ONE_MODEL,
        "does_nothing_without_gradients": ONE_MODEL,
        "moves_each_parameter_by_itself": ONE_MODEL,
        "steps_beside_a_frozen_group": (
            "refused: ValueError: LinearSAGA moves a weight of shape (1, features) and a bias of "
            "shape (1,), not parameters of shapes [(1, 5), (1, 5), (1,)]"
        ),
        "ignores_a_first_step_without_gradients": (
            "its gradients come from samples, which every step has"
        ),
        "starts_a_late_parameter_from_its_own_first_step": ONE_MODEL,
        "continues_a_frozen_parameter": ONE_MODEL,
        "counts_every_step_of_half_precision_models": "it counts no steps in its state or groups",
        "keeps_nan_in_its_parameter": ONE_MODEL,
        "needs_memory_in_proportion_to_the_parameters": "it accepts no matrices of any size",
        "runs_the_closure_once_with_gradients_on": (
            "its step takes the logit gradients of one evaluation, which a closure would repeat"
        ),
        "steps_or_refuses_sparse_gradients": ONE_MODEL,
        "steps_or_refuses_complex_parameters": ONE_MODEL,
        "loads_a_checkpoint_without_flags": "its __setstate__ gives no hyperparameter a default",
        "loads_a_checkpoint_with_plain_numbers": (
            "its __setstate__ converts no number of its state to a tensor"
        ),
        "refuses_a_state_dict_of_another_shape": (
            "it takes no further groups: ValueError: LinearSAGA moves a weight of shape "
            "(1, features) and a bias of shape (1,), not parameters of shapes "
            "[(1, 5), (1,), (1, 5), (1,)]"
        ),
        "equals_the_reference_in_float64": "no reference was given",
        "equals_the_reference_in_float32": "no reference was given",
    }


def test_linear_saga_with_too_few_samples_for_two_batches_is_refused() -> None:
    with pytest.raises(ValueError, match="num_samples=11: must be 12 or above"):
        check(partial(optim.LinearSAGA, num_samples=11))


@pytest.mark.parametrize("name", slow_except(["adam"], OURS))
def test_every_optimizer_of_this_package_passes_every_claim_beside_its_native_twin(
    name: str,
) -> None:
    ours, native = OURS[name]
    assert failures(partial(ours, lr=1e-2), partial(native, lr=1e-2, foreach=False)) == []

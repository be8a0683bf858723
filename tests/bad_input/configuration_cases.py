"""Settings that are invalid, alone or together: cases of the catalogue of bad input."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.catalogue import Case


def no_optimizer(*_: object, **__: object) -> int:
    return 3


def without_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/bin/false")


def own_yaml(text: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "own" / "optimizer").mkdir(parents=True)
        (folder / "own" / "optimizer" / "own.yaml").write_bytes(text.encode("latin-1"))

    return make


def own_class(text: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "own_class.py").write_text(f"import torch\n\n{text}\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.delitem(sys.modules, "own_class", raising=False)
        importlib.invalidate_caches()

    return make


OWN_CLASS = ["optimizer=native_sgd", "optimizer._target_=own_class.Own"]


def same_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a-b", "a/b"):
        file = folder / "own" / "optimizer" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("_target_: torch.optim.SGD\n_partial_: true\n_convert_: all\nlr: 1\n")


OWN = ["--config-dir", "own", "optimizer=own"]
SAGA = ["optimizer=custom_saga", "batch_size=8"]
LINEAR_SAGA = ["optimizer=custom_linear_saga", "model.head=linear"]
ADAM = "target=torch.optim.Adam"
CASES = [
    Case("an unknown optimizer", ["optimizer=custom_lion"]),
    Case("a path as choice", ["optimizer=../../../etc/passwd"]),
    Case("an unknown key", ["epoch=3"]),
    Case("a key of another choice", ["data.root=x"]),
    Case("a new key", ["+surprise=1"]),
    Case("a new key in a section", ["+data.surprise=1"]),
    Case("a new key of the optimizer", ["+optimizer.surprise=1"]),
    Case("a section as value", ["epochs={a: 1}"]),
    Case("a value as section", ["grad_clip=1"]),
    Case("a mandatory key left out", ["data=folder"]),
    Case("an unclosed bracket", ["epochs=[1"]),
    Case("a key without a value", ["epochs"]),
    Case("two values without -m", ["seed=0,1"]),
    Case("an argument that is not UTF-8", ["output_dir=\udcff"]),
    Case("an argument with a line break", ["output_dir=a\nb"]),
    Case("a word as integer", ["epochs=many"]),
    Case("a fraction as integer", ["epochs=1.5"]),
    Case("an integer below its range", ["epochs=-1"]),
    Case("a batch size of zero", ["batch_size=0"]),
    Case("an integer beyond 64 bits", ["seed=1" + 20 * "0"]),
    Case("a boolean as integer", ["seed=true"]),
    Case("an integer as boolean", ["deterministic=2"]),
    Case("too many worker processes", ["data.workers=100000"]),
    Case("an absurd number of images", ["data.train_per_class=999999999999"], images=True),
    Case("a fraction above 1", ["data.max_bad_fraction=2"]),
    Case("an unknown dtype", ["data.store_dtype=float8"]),
    Case("an unknown protocol", ["protocol=notebook"]),
    Case("an unknown head", ["model.head=mlp"]),
    Case("an unknown device", ["device=tpu"]),
    Case("a number of a device beyond all", ["device=cuda:99999999999999999999"]),
    Case("a list as folder", ["output_dir=[a,b]"]),
    Case("a section as folder", ["output_dir={a: 1}"]),
    Case("a boolean as folder", ["output_dir=true"]),
    Case("a list as folder of a comparison", ["output_dir=[a,b]"], "compare"),
    Case("a list as folder of runs", ["runs=[a,b]"], "report"),
    Case("a boolean as folder of a report", ["runs=.", "out=true"], "report"),
    Case("a boolean among pictures", ["checkpoint=x", "pictures=[a,true]"], "predict"),
    Case("a learning rate of nan", ["optimizer.lr=nan"]),
    Case("an infinite learning rate", ["optimizer.lr=inf"]),
    Case("a negative learning rate", ["optimizer.lr=-1"]),
    Case("a word as learning rate", ["optimizer.lr=fast"]),
    Case("a number in quotes as learning rate", ["optimizer.lr='\"0.001\"'"]),
    Case("a boolean as learning rate", ["optimizer.lr=true"]),
    Case("a boolean as number of the optimizer", ["optimizer.eps=true"]),
    Case("words as betas", ["optimizer.betas=['0.9','0.99']"]),
    Case(
        "a word as boolean of the optimizer",
        ["optimizer=native_momentum", "optimizer.nesterov='\"false\"'"],
    ),
    Case("a beta of 1", ["optimizer.betas=[0.9,1.0]"]),
    Case("no optimizer", ["optimizer=null"]),
    Case("no optimizer by a tilde", ["~optimizer"]),
    Case("a list of optimizers", ["optimizer=[custom_adam,native_adam]"]),
    Case("a class of its own left out", ["optimizer=class"]),
    Case(
        "another class that lacks a hyperparameter of the file",
        ["optimizer=native_adam", "optimizer._target_=torch.optim.SGD"],
    ),
    Case("an optimizer class that does not exist", ["optimizer._target_=torch.optim.Nope"]),
    Case(
        "a target that is not an optimizer",
        ["optimizer._target_=tests.bad_input.configuration_cases.no_optimizer"],
    ),
    Case(
        "an optimizer class in a file with a syntax error",
        OWN_CLASS,
        make=own_class("class Own(torch.optim.SGD:"),
    ),
    Case(
        "an optimizer class in a file that imports what is not installed",
        OWN_CLASS,
        make=own_class("import not_installed"),
    ),
    Case(
        "an optimizer class whose constructor raises",
        OWN_CLASS,
        make=own_class("class Own(torch.optim.SGD):\n    def __init__(self, *_, **__): 1 / 0"),
    ),
    Case(
        "an optimizer class whose step raises",
        OWN_CLASS,
        images=True,
        make=own_class("class Own(torch.optim.SGD):\n    def step(self): 1 / 0"),
    ),
    Case(
        "an optimizer class whose step needs a closure",
        ["optimizer=native_sgd", "optimizer._target_=torch.optim.LBFGS"],
    ),
    Case(
        "an optimizer class whose groups have no learning rate",
        OWN_CLASS,
        make=own_class(
            "class Own(torch.optim.Optimizer):\n"
            "    def __init__(self, params, lr): super().__init__(params, {'rate': lr})"
        ),
    ),
    Case("an empty value", ["model.weights="]),
    Case("a negative threshold of a flat cost", ["stop_when_flat=-1"]),
    Case("a clipping value of zero", ["grad_clip.value=0"]),
    Case("a schedule of zero epochs", ["scheduler=cosine", "scheduler.T_max=0"]),
    Case("a schedule of steps of zero epochs", ["scheduler=step", "scheduler.step_size=0"]),
    Case("a word as factor of a schedule", ["scheduler=step", "scheduler.gamma=abc"]),
    Case(
        "a schedule that is shorter than the run",
        [
            "scheduler=step",
            "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR",
            "~scheduler.step_size",
            "~scheduler.gamma",
            "+scheduler.max_lr=1",
            "+scheduler.total_steps=3",
        ],
    ),
    Case("a schedule of nan epochs", ["scheduler=cosine", "scheduler.T_max=nan"]),
    Case("an argument that the scheduler lacks", ["scheduler=step", "+scheduler.warmup=3"]),
    Case("invalid YAML", OWN, make=own_yaml("a: [1\n")),
    Case("YAML that is not UTF-8", OWN, make=own_yaml("a: \xff\n")),
    Case(
        "YAML with a Python object",
        OWN,
        make=own_yaml("a: !!python/object/apply:os.system [touch ran]\n"),
    ),
    Case("an unknown flag", ["--no-such-flag"]),
    Case("a flag without its value", ["--config-dir"]),
    Case("a question of a shell", ["-sc", "query=bash"]),
    Case("a --config-dir that does not exist", ["--config-dir", "nowhere"]),
    Case("SAGA with an integer dtype", [*SAGA, "optimizer.table_dtype=int8"], images=True),
    Case("SAGA with random augmentation", [*SAGA, "protocol=monograph"], images=True),
    Case("linear SAGA with random augmentation", [*LINEAR_SAGA, "protocol=monograph"], images=True),
    Case("SAGA with gradient clipping", [*SAGA, "grad_clip.norm=1"], images=True),
    Case("linear SAGA on the convolutional head", ["optimizer=custom_linear_saga"], images=True),
    Case(
        "compiling a native optimizer",
        ["optimizer=native_sgd", "compile=true"],
        make=without_compiler,
    ),
    Case("compiling without a compiler", ["compile=true"], make=without_compiler),
    Case("an empty list of contenders", ["contenders=[]"], "compare"),
    Case("a word as list of contenders", ["contenders=custom_sgd"], "compare"),
    Case("a repeated contender", ["contenders=[custom_sgd,custom_sgd]"], "compare"),
    Case("an unknown contender", ["contenders=[no_such]"], "compare"),
    Case(
        "two contenders of one name",
        ["--config-dir", "own", "contenders=[a-b,a/b]"],
        "compare",
        make=same_name,
    ),
    Case("an argument that a contender lacks", ["optimizer.betas=[0.5,0.9]"], "compare"),
    Case("a word as seed", ["seeds=[a]"], "compare"),
    Case("a negative seed", ["seeds=[-1]"], "compare"),
    Case("a fraction as seed", ["seeds=[0.5]"], "compare"),
    Case("a negative learning rate in the grid", ["learning_rates=[-1]"], "compare"),
    Case("optimizer= given to compare", ["optimizer=custom_adam"], "compare"),
    Case("seed= given to compare", ["seed=3"], "compare"),
    Case("an unknown experiment", ["experiment=none_such"], "compare"),
    Case("a contender that does not suit the head", ["contenders=[custom_linear_saga]"], "compare"),
    Case("nothing to check", [], "check"),
    Case("two things to check", ["optimizer=custom_adam", "target=torch.optim.Adam"], "check"),
    Case("kwargs without a target", ["optimizer=custom_adam", "kwargs.lr=1"], "check"),
    Case("a target that does not exist", ["target=torch.optim.Nope"], "check"),
    Case(
        "a target that refuses its arguments", ["target=torch.optim.SGD", "kwargs.lr=-1"], "check"
    ),
    Case("an unknown reference", ["optimizer=custom_adam", "reference=nope"], "check"),
    Case(
        "linear SAGA that refuses its arguments",
        ["target=catsdogs.optim.LinearSAGA", "kwargs.lr=-1"],
        "check",
    ),
    Case("a layer as target", ["target=torch.nn.ReLU"], "check"),
    Case("an unknown claim", [ADAM, "only=[goes_downhil]"], "check"),
    Case("every group of claims left out", [ADAM, "skip=[update,state,use,manners]"], "check"),
    Case("an unknown claim declared to fail", [ADAM, "expected.uphill=x"], "check"),
    Case("a shape in place of a list of shapes", [ADAM, "shapes=[4,3]"], "check"),
    Case("an unknown dtype of parameters", [ADAM, "dtypes=[float8]"], "check"),
    Case("half precision alone", [ADAM, "dtypes=[bfloat16]"], "check"),
    Case("an unknown device of check", [ADAM, "device=tpu"], "check"),
    Case("a number as need of a closure", [ADAM, "closure=2"], "check"),
    Case("an unknown thing to build from", [ADAM, "build_from=tensors"], "check"),
    Case("a prepare that does not exist", [ADAM, "prepare=os.nope"], "check"),
    Case("a time limit of zero", [ADAM, "seconds=0"], "check"),
    Case("zero jobs", [ADAM, "jobs=0"], "check"),
    Case("an unknown strictness", [ADAM, "strict=all"], "check"),
    Case("settings of a reference without one", [ADAM, "reference_kwargs.lr=1"], "check"),
    Case(
        "a reference that refuses its settings",
        [ADAM, "reference=torch.optim.SGD", "reference_kwargs.surprise=1"],
        "check",
    ),
    Case("a layer as reference", [ADAM, "reference=torch.nn.ReLU"], "check"),
    Case("a module without optimizers", ["target=json"], "check"),
    Case("a module with a reference", ["target=torch.optim", "reference=native_adam"], "check"),
    Case("a fit of zero epochs", ["epochs=0"], "diamonds"),
]

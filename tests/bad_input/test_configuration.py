"""Settings that cannot work, alone or together."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.catalogue import Case, judge


def no_optimizer(*_: object, **__: object) -> int:
    return 3


def without_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/bin/false")


def own_yaml(text: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "conf" / "optimizer").mkdir(parents=True)
        (folder / "conf" / "optimizer" / "own.yaml").write_bytes(text.encode("latin-1"))

    return make


OWN = ["--config-dir", "conf", "optimizer=own"]
SAGA = ["optimizer=custom_saga", "batch_size=8"]
LINEAR_SAGA = ["optimizer=custom_linear_saga", "model.head=linear"]
CASES = [
    Case(
        "an unknown optimizer",
        "optimizer=custom_lion: there is no such choice; choose one of custom_adam, ...",
        ["optimizer=custom_lion"],
    ),
    Case(
        "a path in place of a choice",
        "optimizer/../../../etc=passwd: there is no such choice; choose one of custom_adam, ...",
        ["optimizer=../../../etc/passwd"],
    ),
    Case(
        "an unknown key", "epoch: there is no such setting here; did you mean epochs?", ["epoch=3"]
    ),
    Case(
        "a key of another choice",
        "data.root: there is no such setting here; --cfg job lists those there are",
        ["data.root=x"],
    ),
    Case("a new key", "surprise=1: there is no such setting; see --help", ["+surprise=1"]),
    Case(
        "a new key in a section",
        "data.surprise=1: there is no such setting; see --help",
        ["+data.surprise=1"],
    ),
    Case(
        "a new key of the optimizer",
        "optimizer: catsdogs.optim.Adam refuses its settings: Adam.__init__() got an unexpected keyword argument 'surprise'",
        ["+optimizer.surprise=1"],
    ),
    Case(
        "a section in place of a value",
        "epochs={'a': 1}: must be a whole number, 0 or above",
        ["epochs={a: 1}"],
    ),
    Case(
        "a value in place of a section",
        "grad_clip=1: must be a section of settings",
        ["grad_clip=1"],
    ),
    Case(
        "a mandatory key that is not given",
        "data.root has no default: give data.root=VALUE",
        ["data=folder"],
    ),
    Case(
        "no key=value",
        "cannot read 'epochs=[1' as key=value; quote a value that holds more than words and numbers: \"key='VALUE'\"",
        ["epochs=[1"],
    ),
    Case(
        "a word alone",
        "cannot read 'epochs' as key=value; quote a value that holds more than words and numbers: \"key='VALUE'\"",
        ["epochs"],
    ),
    Case(
        "two values without -m",
        "seed=0,1: more than one value; give -m to run them all",
        ["seed=0,1"],
    ),
    Case(
        "an argument that is no UTF-8",
        "output_dir=\\udcff: an argument must be one line of UTF-8",
        ["output_dir=\udcff"],
    ),
    Case(
        "an argument with a line break",
        "output_dir=a\\nb: an argument must be one line of UTF-8",
        ["output_dir=a\nb"],
    ),
    Case(
        "a word for a whole number",
        "epochs=many: must be a whole number, 0 or above",
        ["epochs=many"],
    ),
    Case(
        "a fraction for a whole number",
        "epochs=1.5: must be a whole number, 0 or above",
        ["epochs=1.5"],
    ),
    Case(
        "a whole number below its range",
        "epochs=-1: must be a whole number, 0 or above",
        ["epochs=-1"],
    ),
    Case("a batch of none", "batch_size=0: must be a whole number, 1 or above", ["batch_size=0"]),
    Case(
        "a whole number beyond 64 bits",
        "seed=100000000000000000000: must be a whole number, 0 or above, 9223372036854775807 at most",
        ["seed=1" + 20 * "0"],
    ),
    Case("true for a number", "seed=True: must be a whole number, 0 or above", ["seed=true"]),
    Case(
        "a number for true or false", "deterministic=2: must be true or false", ["deterministic=2"]
    ),
    Case(
        "more processes than any machine runs",
        "data.workers=100000: must be auto or a whole number, 0 or above, 256 at most",
        ["data.workers=100000"],
    ),
    Case(
        "more pictures than there are",
        "data.train_per_class=999999999999: must be a whole number, 1 or above, 10000000 at most",
        ["data.train_per_class=999999999999"],
        images=True,
    ),
    Case(
        "a share above 1",
        "data.max_bad_fraction=2: must be a number from 0 to 1",
        ["data.max_bad_fraction=2"],
    ),
    Case(
        "an unknown type",
        "data.store_dtype=float8: must be one of float32, float16",
        ["data.store_dtype=float8"],
    ),
    Case(
        "an unknown protocol",
        "protocol=notebook: must be one of frozen, monograph",
        ["protocol=notebook"],
    ),
    Case("an unknown head", "model.head=mlp: must be one of conv, linear", ["model.head=mlp"]),
    Case(
        "an unknown device", "device=tpu: must be one of auto, cpu, mps, cuda[:N]", ["device=tpu"]
    ),
    Case(
        "a learning rate that is no number",
        "optimizer.lr=nan: must be a finite number",
        ["optimizer.lr=nan"],
    ),
    Case(
        "a learning rate without end",
        "optimizer.lr=inf: must be a finite number",
        ["optimizer.lr=inf"],
    ),
    Case(
        "a learning rate below zero",
        "optimizer: catsdogs.optim.Adam refuses its settings: Invalid lr: -1 (must be a finite number, 0 or above)",
        ["optimizer.lr=-1"],
    ),
    Case(
        "a learning rate in words",
        "optimizer: catsdogs.optim.Adam refuses its settings: Invalid lr: 'fast' (must be a number)",
        ["optimizer.lr=fast"],
    ),
    Case(
        "a beta of 1",
        "optimizer: catsdogs.optim.Adam refuses its settings: Invalid betas[1]: 1.0 (must be at least 0 and below 1)",
        ["optimizer.betas=[0.9,1.0]"],
    ),
    Case(
        "a class that does not exist",
        "optimizer._target_=torch.optim.Nope: cannot be used (Error loading 'torch.optim.Nope': ModuleNotFoundError(\"No module named 'torch.optim.Nope'\") Are you sure that 'Nope' is importable from module 'torch.optim'?)",
        ["optimizer._target_=torch.optim.Nope"],
    ),
    Case(
        "a class that is no optimizer",
        "optimizer._target_=test_configuration.no_optimizer: is no torch.optim.Optimizer",
        ["optimizer._target_=test_configuration.no_optimizer"],
    ),
    Case("an empty text", "model.weights=: must be a text that is not empty", ["model.weights="]),
    Case(
        "a flat cost below zero",
        "stop_when_flat=-1: must be null or a finite number above 0",
        ["stop_when_flat=-1"],
    ),
    Case(
        "clipping to zero",
        "grad_clip.value=0: must be null or a finite number above 0",
        ["grad_clip.value=0"],
    ),
    Case(
        "a schedule without end",
        "scheduler.T_max=nan: must be a finite number",
        ["scheduler=cosine", "scheduler.T_max=nan"],
    ),
    Case(
        "a key that the scheduler lacks",
        "scheduler: refuses its settings: StepLR.__init__() got an unexpected keyword argument 'warmup'",
        ["scheduler=step", "+scheduler.warmup=3"],
    ),
    Case(
        "YAML that cannot be read",
        "a file of the configuration is no plain YAML: ...own.yaml...",
        OWN,
        make=own_yaml("a: [1\n"),
    ),
    Case(
        "YAML that is no UTF-8",
        "a file of the configuration is no UTF-8: 'utf-8' codec can't decode byte 0xff in position 3: invalid start byte",
        OWN,
        make=own_yaml("a: \xff\n"),
    ),
    Case(
        "YAML with a Python object",
        "a file of the configuration is no plain YAML: ...python/object/apply:os.system...",
        OWN,
        make=own_yaml("a: !!python/object/apply:os.system [touch ran]\n"),
    ),
    Case(
        "a folder of YAML that does not exist",
        "Additional config directory '.../nowhere' not found",
        ["--config-dir", "nowhere"],
    ),
    Case(
        "SAGA with a type of whole numbers",
        "optimizer: catsdogs.optim.SAGA refuses its settings: Invalid table_dtype: torch.int8 (must be such as float16)",
        [*SAGA, "optimizer.table_dtype=int8"],
        images=True,
    ),
    Case(
        "SAGA and random views",
        "protocol=monograph: custom_saga needs the same answer to a picture from the same weights, and no random view of it comes twice; use protocol=frozen or an optimizer without a table",
        [*SAGA, "protocol=monograph"],
        images=True,
    ),
    Case(
        "linear SAGA and random views",
        "protocol=monograph: custom_linear_saga needs the same answer to a picture from the same weights, and no random view of it comes twice; use protocol=frozen or an optimizer without a table",
        [*LINEAR_SAGA, "protocol=monograph"],
        images=True,
    ),
    Case(
        "SAGA and clipping",
        "grad_clip: custom_saga needs the gradient as it is: a table of clipped ones is not that of a sum; leave out grad_clip",
        [*SAGA, "grad_clip.norm=1"],
        images=True,
    ),
    Case(
        "linear SAGA and three convolutions",
        "optimizer: catsdogs.optim.LinearSAGA refuses its settings: LinearSAGA moves a weight of shape (1, features) and a bias of shape (1,), not parameters of shapes [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]",
        ["optimizer=custom_linear_saga"],
        images=True,
    ),
    Case(
        "compiling a native optimizer",
        "compile=true: compiles the update rules of catsdogs.optim, and native_sgd is none of them; use compile=false",
        ["optimizer=native_sgd", "compile=true"],
        make=without_compiler,
    ),
    Case(
        "compiling without a compiler",
        "compile=true: compile needs a C++ compiler and /bin/false does not work (exit status 1): mend it, name another in the environment variable CXX, or leave compile off",
        ["compile=true"],
        make=without_compiler,
    ),
    Case(
        "no contender",
        "contenders=[]: must be a list such as contenders=[a,b]",
        ["contenders=[]"],
        "compare",
    ),
    Case(
        "a contender that is no list",
        "contenders=custom_sgd: must be a list such as contenders=[a,b]",
        ["contenders=custom_sgd"],
        "compare",
    ),
    Case(
        "a contender twice",
        "contenders=['custom_sgd', 'custom_sgd']: names one of them twice",
        ["contenders=[custom_sgd,custom_sgd]"],
        "compare",
    ),
    Case(
        "an unknown contender",
        "contenders: no_such is no file of conf/optimizer: custom_adam, ...",
        ["contenders=[no_such]"],
        "compare",
    ),
    Case(
        "a key that a contender lacks",
        "contenders: native_sgd cannot be configured (Could not override 'optimizer.betas'. To append to your config use +optimizer.betas=[0.5,0.9])",
        ["optimizer.betas=[0.5,0.9]"],
        "compare",
    ),
    Case(
        "a seed in words",
        "seeds=['a']: every entry must be a whole number",
        ["seeds=[a]"],
        "compare",
    ),
    Case(
        "a seed below zero",
        "seed=-1: must be a whole number, 0 or above",
        ["seeds=[-1]"],
        "compare",
    ),
    Case(
        "half a seed", "seeds=[0.5]: every entry must be a whole number", ["seeds=[0.5]"], "compare"
    ),
    Case(
        "a grid below zero",
        "optimizer: torch.optim.SGD refuses its settings: Invalid learning rate: -1.0",
        ["learning_rates=[-1]"],
        "compare",
    ),
    Case(
        "one optimizer for a comparison",
        "optimizer=custom_adam: a comparison takes contenders=[...] and seeds=[...]",
        ["optimizer=custom_adam"],
        "compare",
    ),
    Case(
        "one seed for a comparison",
        "seed=3: a comparison takes contenders=[...] and seeds=[...]",
        ["seed=3"],
        "compare",
    ),
    Case(
        "an unknown experiment",
        "experiment=none_such: there is no such choice; choose one of family, lr, monograph",
        ["experiment=none_such"],
        "compare",
    ),
    Case(
        "a contender that the head does not suit",
        "optimizer: catsdogs.optim.LinearSAGA refuses its settings: LinearSAGA moves a weight of shape (1, features) and a bias of shape (1,), not parameters of shapes [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]",
        ["contenders=[custom_linear_saga]"],
        "compare",
    ),
    Case(
        "nothing to check",
        "give either optimizer=NAME or target=PATH.OF.CLASS, see --help",
        [],
        "check",
    ),
    Case(
        "two things to check",
        "give either optimizer=NAME or target=PATH.OF.CLASS, see --help",
        ["optimizer=custom_adam", "target=torch.optim.Adam"],
        "check",
    ),
    Case(
        "settings for nothing",
        "kwargs: belong to target=; with optimizer= give optimizer.lr=1e-3",
        ["optimizer=custom_adam", "kwargs.lr=1"],
        "check",
    ),
    Case(
        "a target that does not exist",
        "target=torch.optim.Nope: cannot be used (Error loading 'torch.optim.Nope': ModuleNotFoundError(\"No module named 'torch.optim.Nope'\") Are you sure that 'Nope' is importable from module 'torch.optim'?)",
        ["target=torch.optim.Nope"],
        "check",
    ),
    Case(
        "a target that refuses its settings",
        "this cannot be checked: The factory accepts no parameter: Invalid learning rate: -1",
        ["target=torch.optim.SGD", "kwargs.lr=-1"],
        "check",
    ),
    Case(
        "an unknown reference",
        "optimizer=nope: there is no such choice; choose one of custom_adam, ...",
        ["optimizer=custom_adam", "reference=nope"],
        "check",
    ),
    Case(
        "a target with a table that refuses",
        "this cannot be checked: The factory accepts no parameter: Invalid lr: -1 (must be a finite number, 0 or above)",
        ["target=catsdogs.optim.LinearSAGA", "kwargs.lr=-1"],
        "check",
    ),
    Case(
        "a target that is a layer",
        "this cannot be checked: It builds a ReLU, no torch.optim.Optimizer",
        ["target=torch.nn.ReLU"],
        "check",
    ),
    Case(
        "a diamonds fit of no epoch",
        "epochs=0: must be a whole number, 1 or above",
        ["epochs=0"],
        "diamonds",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_settings_that_cannot_work_are_refused(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(case, run, small, tmp_path, monkeypatch, capfd)

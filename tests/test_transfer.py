"""Networks of other packages: built, given weights, frozen, trained, kept; on the digits, with small inputs."""

import hashlib
import http.server
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import thirtytwo
from listening import OnProgress, interrupting
from thirtytwo import recipes
from thirtytwo.device import Device
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.interrupt import Interrupted
from thirtytwo.models import models
from thirtytwo.models.adapt import starvation, starved
from thirtytwo.models.classifier import build_network
from thirtytwo.models.network import Network
from thirtytwo.models.stages import plan, stages, table
from thirtytwo.models.weights.file import beside, pack
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.recipes import recipes as registry
from thirtytwo.runs.checkpoint import unpack
from thirtytwo.runs.loading import load_classifier
from thirtytwo.runs.run import Run
from thirtytwo.training.session import Session, prepare

SIZE = (32, 32)
SMALL = ["data.limit=24", "data.val=30", "train.batch_size=12", "train.epochs=1", "optim.name=sgd", "optim.lr=0.01",
         "augment=none", "schedule=constant", "train.precision=float32"]  # fmt: skip
TIMM = ["resnet10t", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto", "vit_tiny_patch16_224", "regnetx_002",
        "mobilevitv2_050", "ghostnet_050", "repvgg_a0", "levit_128s"]  # fmt: skip
FIXED = ("vit_tiny_patch16_224", "levit_128s")
"""Made for images of one size."""
ORIGINS = {
    "torchvision/vgg19": ("last_pool='identity'", "to:features.28"),
    "torchvision/resnet18": ("stem='small'", "to:layer4"),
    "torchvision/resnet50": ("", "to:layer4"),
    "torchvision/mobilenet_v3_small": ("", "to:features.9"),
}


def small(*words: str) -> Recipe:
    return recipes.find("digits-cnn").override(parse_assignments([*SMALL, *words]))


def stop_at_first_step(progress):
    if progress.step == 1:
        os.kill(os.getpid(), signal.SIGINT)


def published(name: str) -> nn.Module:
    """A network as its package builds it, with other random weights than a recipe's seed gives."""
    torch.manual_seed(1)
    family, _, plain = name.partition("/")
    if family == "timm":
        timm = pytest.importorskip("timm")
        return timm.create_model(plain, **({"img_size": 32} if plain in FIXED else {}))
    from torchvision.models import get_model

    return get_model(plain, weights=None)


@pytest.fixture
def file_of(tmp_path):
    """Saves a network's state dict under the names and shapes that its pretrained weights have."""

    def save(name: str) -> Path:
        return save_state(as_published(name), tmp_path / "published.safetensors")

    return save


def as_published(name: str) -> dict[str, torch.Tensor]:
    """A state dict as its file has it: torchvision's first ResNets and DenseNets were saved by torch 0.3 or before,
    without batch norm's counters, and with dots where DenseNet has none today."""
    state = published(name).state_dict()
    if name.startswith(("torchvision/resnet", "torchvision/densenet")):
        state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()}
    return state


def save_state(state, path: Path) -> Path:
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    return path


@pytest.fixture(autouse=True)
def watch_every_step(monkeypatch):
    monkeypatch.setattr("thirtytwo.training.loop.TICK", 0.0)


def fine_tuned(name: str, options: str, freeze: str, file: Path, out: Path) -> None:
    """Two steps with an interruption between them: what is frozen has the file's bits, what is trained has not."""
    given = ", ".join(part for part in (f"weights='{file}'", options) if part)
    size = "data.size=32"
    session = Session.new(
        small(f"model={name}({given})", f"train.freeze={freeze}", size), out=out, device="cpu", test=False
    )
    with pytest.raises(Interrupted):
        session.complete(listeners=[OnProgress(stop_at_first_step)])
    session = Session.resume(session.run.path)
    slots = sum(len(group["params"]) for group in session.parts.optimizer.groups)
    session.complete()
    file.unlink()
    run = Run.open(session.run.path)
    model = load_classifier(run, Device.choose("cpu", "float32"))
    network = model.described
    assert "weights" not in run.card["model"] and run.card["frozen"] > 0
    parts, frozen = stages(network), set(plan(network, freeze))
    names = [each for stage in parts.values() for each in stage]
    assert set(names) == set(dict(model.network.named_parameters())) and slots == len(names) - len(frozen) > 0
    original, state = published(name).state_dict(), model.network.state_dict()
    whole = {stage for stage, inside in parts.items() if frozen.issuperset(inside)}
    for key, tensor in state.items():
        in_frozen = key in frozen or any(key.startswith(f"{stage}.") for stage in whole)
        if in_frozen:
            assert torch.equal(tensor, original[key]), key
    moved = [key for key in names if key not in frozen and original[key].shape == state[key].shape]
    changed = [key for key in moved if not torch.equal(state[key], original[key])]
    # A scale of 1 may take a step too small for float32; filters begin small.
    assert all(key in changed for key in moved if state[key].ndim > 1) and (moved or freeze == "all-but-head")
    statistics = [key for key in state if key.endswith("running_mean")
                  and not any(key.startswith(f"{stage}.") for stage in whole)]  # fmt: skip
    assert all(not torch.equal(state[key], original[key]) for key in statistics)
    picture = torch.randint(256, (20, 17, 3), dtype=torch.uint8).numpy()
    assert len(thirtytwo.open_run(run.path, device="cpu").predict(picture)[0].classes) == 3


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "vgg" in name else name for name in ORIGINS]
)
def test_the_origins_networks_train_save_resume_and_predict(name, file_of, tmp_path, cli):
    options, freeze = ORIGINS[name]
    rows = json.loads(cli("model", f"{name}({options})" if options else name, "--freeze", freeze, "--json").out)
    assert rows[0]["trained"] == 0 and rows[-1]["trained"] == rows[-1]["parameters"]
    shown = cli("model", f"{name}({options})" if options else name, "--freeze", freeze).out
    for row in rows:
        state = "trained" if row["trained"] else "frozen"
        line = next(line for line in shown.splitlines() if line.startswith(f"{row['stage']} "))
        assert line.split() == [row["stage"], state, f"{row['parameters']:,}", f"{row['trained']:,}"]
    fine_tuned(name, options, freeze, file_of(name), tmp_path)


@pytest.mark.parametrize("name", TIMM)
def test_timms_networks_do_too(name, file_of, tmp_path):
    fine_tuned(f"timm/{name}", "", "all-but-head" if "vit" in name else f"to:{last_stages(name)}",
               file_of(f"timm/{name}"), tmp_path)  # fmt: skip


def last_stages(name: str) -> str:
    return [*stages(build_network(f"timm/{name}", 3, 10, SIZE))][-2]


def test_families_list_by_wildcard_and_suggest(cli):
    names = models.names("torchvision/resnet*")
    assert "torchvision/resnet18" in names and len(names) == 5 and "torchvision/resnet18" not in models.names()
    assert "IMAGENET1K_V1" in cli("model", "torchvision/resnet1*").out
    with pytest.raises(UnknownName, match=r"'torchvision/resnet19': did you mean 'torchvision/resnet1"):
        models.get("torchvision/resnet19")
    with pytest.raises(UserError, match=r"no weights 'IMAGENET1K_V9': did you mean 'IMAGENET1K_V1'"):
        build_network("torchvision/resnet18(weights='IMAGENET1K_V9')", 3, 10, SIZE)
    with pytest.raises(UserError, match="has no argument 'frobnicate'"):
        models.check("torchvision/resnet18(frobnicate=1)")


def test_every_network_of_torchvision_has_its_arguments():
    names = models.names("torchvision/*")
    assert len(names) >= 80
    for name in names:
        assert models.check(f"{name}(pretrained=true, input=96)") == {"pretrained": True, "input": 96}


def test_without_timm_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install timm"):
        models.check("timm/resnet18")


def test_the_adapted_network_is_torchvisions_own():
    """`stem`, `last_pool` and `input` change shapes of maps, no weight; grey is RGB of three equal channels."""
    network = build_network("torchvision/resnet18(stem='small', input=40)", 1, 10, SIZE).module.eval()
    plain = published("torchvision/resnet18").eval()
    plain.fc = nn.Linear(512, 10)
    plain.load_state_dict(network.state_dict())
    plain.conv1.stride, plain.maxpool = (1, 1), nn.Identity()
    grey = torch.randn(2, 1, 24, 24)
    resized = nn.functional.interpolate(grey.expand(-1, 3, -1, -1), (40, 40), mode="bilinear", antialias=True)
    assert torch.equal(network(grey), plain(resized))
    squeezed = build_network("torchvision/squeezenet1_1(stem='small')", 3, 10, SIZE).module
    assert isinstance(squeezed.features[2], nn.Identity) and squeezed.features[0].stride == (1, 1)
    vgg = build_network("torchvision/vgg11(last_pool='identity')", 3, 4, SIZE).module
    assert isinstance(vgg.features[20], nn.Identity)


@pytest.mark.parametrize(
    "spec, message",
    [
        ("torchvision/vgg11(stem='small')", "first convolution has stride 1 already"),
        ("torchvision/mobilenet_v3_small(last_pool='identity')", "has no max-pool"),
        ("torchvision/inception_v3", "input=224"),
        ("timm/vit_tiny_patch16_224(stem='small')", r"do not fit each other with stem='small'.*leave it out"),
        ("timm/levit_128s(stem='small')", "leave it out, and try input=96"),
        ("timm/levit_128s(stem='small', input=64)", "leave it out$"),
        ("torchvision/inception_v3(last_pool='identity')", "let it see larger images"),
    ],
)
def test_what_a_network_cannot_take_is_said(spec, message):
    with pytest.raises(UserError, match=message):
        build_network(spec, 3, 10, SIZE)


def test_maps_of_one_pixel_are_warned_of_with_the_remedy(cli, tmp_path, caplog):
    done = cli("model", "torchvision/mobilenet_v3_small")
    assert "see maps of 1 x 1 pixels" in done.err and "input=96" in done.err
    assert "warning" not in cli("model", "torchvision/mobilenet_v3_small(input=96)").err
    network = build_network("torchvision/mobilenet_v3_small", 3, 10, SIZE)
    assert starved(network, 3, SIZE) and not starved(network, 3, (96, 96))
    assert "last_pool" not in done.err and "last_pool='identity'" in cli("model", "torchvision/vgg11").err
    assert "warning" not in cli("model", "torchvision/vgg11(last_pool='identity')").err
    fixed = cli("model", "timm/coat_tiny")
    assert fixed.code == 0 and "try input=96" in fixed.err
    assert "input=96" in cli("model", "torchvision/mobilenet_v3_small(input=32)").err
    told = starvation("run:runs/net-1", build_network("torchvision/mobilenet_v3_small(input=32)", 3, 10, SIZE), 3, SIZE)
    assert told is not None and "train its run with input=96" in told and "data.size" not in told
    with caplog.at_level(logging.WARNING):
        Session.new(small("model=torchvision/shufflenet_v2_x0_5"), out=tmp_path, device="cpu")
    assert any("1 x 1 pixels" in record.message for record in caplog.records)


def test_stages_are_in_order_of_use_and_end_with_the_head():
    assert [*stages(build_network("torchvision/resnet18", 3, 10, SIZE))] == [
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]  # fmt: skip
    vgg = [*stages(build_network("torchvision/vgg11", 3, 10, SIZE))]
    assert vgg[0] == "features.0" and vgg[-3:] == ["classifier.0", "classifier.3", "classifier.6"]
    assert [*stages(build_network("torchvision/squeezenet1_1", 3, 10, SIZE))][-1] == "classifier.1"
    assert [*stages(build_network("speednet", 3, 10, SIZE))] == ["whiten", "groups.0", "groups.1", "groups.2", "head"]


def test_freezing_says_what_it_does_not_understand():
    network = build_network("torchvision/resnet18", 3, 10, SIZE)
    for freeze, message in [("to:layr4", "no stage 'layr4': did you mean 'layer4'"), ("feature.*", "matches no param"),
                            ("*", "nothing to train"), ("allbuthead", "all-but-head"),
                            ("to:conv1", "conv1 is the first stage")]:  # fmt: skip
        with pytest.raises(UserError, match=message):
            plan(network, freeze)
    with pytest.raises(UserError, match="nothing is frozen"):
        plan(network, "none", 1.0)
    patterns = plan(network, "conv1.*, layer1.0.*")
    assert all(name.startswith(("conv1.", "layer1.0.")) for name in patterns)
    assert [row.state for row in table(network, patterns)][:3] == ["frozen", "trained", "partly trained"]


def test_stages_are_one_models(cli):
    for words in ([], ["torchvision/resnet*"]):
        done = cli("model", *words, "--freeze", "to:layer4")
        assert done.code == 2 and "--freeze=to:layer4" in done.err and "name one" in done.err


def test_a_network_with_two_heads_is_not_solved_for():
    model = "model=timm/deit_tiny_distilled_patch16_224(input=32)"
    with pytest.raises(UserError, match="does not end in one linear layer"):
        prepare(small(model, "train.freeze=all-but-head", "train.solver=lbfgs"), "cpu")


def test_stages_thaw_one_by_one_and_a_resumed_run_has_the_same_bits(tmp_path):
    words = ["model=speednet(widths=(8, 8, 8))", "train.freeze=all-but-head", "train.unfreeze_every=0.5",
             "train.epochs=2", "optim.name=adam", "optim.layer_decay=0.5"]  # fmt: skip
    whole = Session.new(small(*words), out=tmp_path, device="cpu")
    whole.complete()
    cut = Session.new(small(*words), out=tmp_path, device="cpu")
    with pytest.raises(Interrupted):
        cut.complete(listeners=[interrupting(lambda progress: progress.step == 2)])
    again = Session.resume(cut.run.path)
    again.complete()
    assert whole.run.read_weights() == again.run.read_weights()
    late = Session.new(small(*words), out=tmp_path, device="cpu")
    with pytest.raises(Interrupted):
        late.complete(
            listeners=[
                OnProgress(lambda now: os.kill(os.getpid(), signal.SIGINT) if now.step == now.steps - 1 else None)
            ]
        )
    resumed = Session.resume(late.run.path)
    resumed.complete()
    assert whole.run.card["frozen"] == resumed.run.card["frozen"] < whole.run.card["parameters"]
    peaks = {group["peak"] for group in again.parts.optimizer.groups}
    assert {0.01, 0.005, 0.0025, 0.00125} <= peaks
    at = {name: epoch for name, epoch in again.parts.freeze.since.items() if name.endswith("conv1.weight")}
    assert at == {f"groups.{i}.conv1.weight": 1.5 - i / 2 for i in range(3)}


def test_an_own_run_goes_on_with_other_images(trained, tmp_path):
    plain = Run.open(trained)
    same = Session.new(small(f"model=run:{trained}"), out=tmp_path, device="cpu")
    own = dict(same.parts.model.state_dict())
    kept = unpack(plain.read_weights(), plain.weights)
    assert own.keys() == kept.keys() and all(torch.equal(own[key], kept[key]) for key in own)
    same.complete()
    assert same.run.card["model"] == "cnn2"
    larger = Session.new(small(f"model=run:{trained}", "data.size=12"), out=tmp_path, device="cpu")
    theirs = larger.parts.model.state_dict()
    assert torch.equal(theirs["network.2.weight"], kept["network.2.weight"]) and len(theirs["mean"]) == 1
    others = tuple("abcdefghij")
    begun = [build_network(f"run:{trained}", 1, 10, (8, 8), labels) for labels in ((), others)]
    head = [network.module.state_dict()["6.weight"] for network in begun]
    assert torch.equal(head[0], kept["network.6.weight"]) and not torch.equal(head[1], head[0])
    with pytest.raises(UserError, match="trained on grey images"):
        build_network(f"run:{trained}", 3, 10, (8, 8))


def test_weights_from_torchs_cache_are_checked_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = models.get("torchvision/squeezenet1_1").__doc__
    assert "IMAGENET1K_V1" in entry
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / "squeezenet1_1-b8a52dc0.pth"
    torch.save(published("torchvision/squeezenet1_1").state_dict(), file)
    with pytest.raises(UserError, match=r"b8a52dc0\.pth: damaged, or a different file"):
        build_network("torchvision/squeezenet1_1(pretrained=true)", 3, 10, SIZE)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    whole = file.rename(folder / f"squeezenet1_1-{digest[:8]}.pth")
    monkeypatch.setattr("torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1._value_",
                        _at(f"https://localhost/{whole.name}"))  # fmt: skip
    network = build_network("torchvision/squeezenet1_1(pretrained=true)", 1, 10, SIZE)
    assert network.normalisation[0].tolist() == pytest.approx([0.485, 0.456, 0.406])
    whole.unlink()
    with pytest.raises(UserError, match=rf"cannot be downloaded.*fetch https://localhost/{whole.name}.*{folder}"):
        build_network("torchvision/squeezenet1_1(pretrained=true)", 3, 10, SIZE)


def test_a_hub_that_does_not_answer_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"127.0.0.1:9 does not answer\): fetch model.safetensors from .*mobilenetv3"):
        build_network("timm/mobilenetv3_small_050(pretrained=true)", 3, 10, SIZE)


def _at(url: str):
    from dataclasses import replace

    from torchvision.models import SqueezeNet1_1_Weights

    return replace(SqueezeNet1_1_Weights.IMAGENET1K_V1.value, url=url)


class _Code:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    "case",
    ["truncated", "another network", "code", "code in a zip", "absent", "not finite", "itself", "a page",
     "a script", "whole numbers", "a run's", "another's name", "absent name"],
)  # fmt: skip
def test_a_bad_file_of_weights_is_one_line_and_runs_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "net.pth"
    state = published("torchvision/squeezenet1_1").state_dict()
    if case == "truncated":
        torch.save(state, file)
        file.write_bytes(file.read_bytes()[:100_000])
    elif case == "another network":
        torch.save(published("torchvision/shufflenet_v2_x0_5").state_dict(), file)
    elif case == "code":
        file.write_bytes(pickle.dumps({"features.0.weight": _Code()}))
    elif case == "code in a zip":
        torch.save({"features.0.weight": _Code()}, file)
    elif case == "itself":
        endless: dict = {}
        endless["model"] = endless
        torch.save(endless, file)
    elif case == "a page":
        file.write_text("<!doctype html><title>404</title>")
    elif case == "a script":
        torch.jit.script(nn.Linear(1, 1)).save(str(file))
    elif case == "whole numbers":
        torch.save({name: tensor.mul(10).to(torch.int8) for name, tensor in state.items()}, file)
    elif case == "a run's":
        file = tmp_path / "net.pth" / "model.safetensors"
        file.parent.mkdir()
        (file.parent / "recipe.toml").touch()
        save_file(state, file)
    elif case == "another's name":
        file = tmp_path / "net.pth" / "squeezenet1_1-b8a52dc0.pth"
        file.parent.mkdir()
        torch.save(state, file)
    elif case == "absent name":
        file = Path("~/net.pth/squeezenet1_1-b8a52dc0.pth")
    elif case == "not finite":
        state["features.0.weight"][0] = torch.nan
        torch.save(state, file)
    with pytest.raises(UserError, match=r"net\.pth") as error:
        build_network(f"torchvision/squeezenet1_1(weights='{file}')", 3, 10, SIZE)
    said = {
        "a page": "not a .pth file", "a script": "a TorchScript program",
        "whole numbers": "whole numbers", "a run's": "use model=run:", "another's name": "begins with",
    }  # fmt: skip
    assert said.get(case, "") in str(error.value) and "weights_only" not in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


def test_published_names_of_old_are_known(tmp_path):
    file = save_state(as_published("torchvision/densenet121"), tmp_path / "old.safetensors")
    network = build_network(f"torchvision/densenet121(weights='{file}')", 3, 10, SIZE)
    theirs, name = published("torchvision/densenet121").state_dict(), "features.denseblock2.denselayer3.conv1.weight"
    assert torch.equal(network.module.state_dict()[name], theirs[name])


@pytest.fixture
def hub(tmp_path) -> Iterator[tuple[str, Path]]:
    """A server of files under ``tmp_path/served``, with the headers that Hugging Face's hub sends; its address."""
    served = tmp_path / "served"
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(served))

        def end_headers(self):
            path = served / self.path.lstrip("/")
            if path.is_file():
                self.send_header("ETag", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
            super().end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", served
        server.shutdown()


def built_elsewhere(spec: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``thirtytwo model`` in a process of its own, which reads where caches and hubs are when it starts."""
    command = [sys.executable, "-c", "from thirtytwo.cli import main; main()", "model", spec, "--freeze", "none"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    away = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, env={**plain, **away, **env}, check=False)


def test_weights_are_downloaded_from_timms_hub_and_checked(hub, tmp_path):
    timm, (address, served) = pytest.importorskip("timm"), hub
    repository = served / "timm/resnet10t.c3_in1k/resolve/main"
    repository.mkdir(parents=True)
    state = timm.create_model("resnet10t").state_dict()
    save_state(state, repository / "model.safetensors")
    there = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": address}
    spec = "timm/resnet10t(weights='c3_in1k')"
    assert built_elsewhere(spec, **there).returncode == 0
    blob = next((tmp_path / "hf").rglob("model.safetensors")).resolve()
    if len(blob.name) != 64:
        pytest.skip("this system has no links: the hub's cache does not keep hashes")
    whole = blob.read_bytes()
    away = {**there, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert built_elsewhere(spec, **away).returncode == 0
    blob.write_bytes(whole[:-100])
    refused = built_elsewhere(spec, **away)
    message = "damaged, or a different file: its sha256 begins with"
    assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr
    shutil.rmtree(tmp_path / "hf")
    save_state({"foreign.weight": torch.zeros(3)}, repository / "model.safetensors")
    refused = built_elsewhere(spec, **there)
    assert refused.returncode == 2 and "does not fit timm/resnet10t" in refused.stderr


def test_weights_are_downloaded_as_torchs_hub_does_and_checked(hub, tmp_path, monkeypatch):
    address, served = hub
    torch.save(published("torchvision/squeezenet1_1").state_dict(), served / "net.pth")
    digest = hashlib.sha256((served / "net.pth").read_bytes()).hexdigest()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entry = "torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1._value_"
    for begin, good in [("0" * 8, False), (digest[:8], True)]:
        name = f"net-{begin}.pth"
        shutil.copy(served / "net.pth", served / name)
        monkeypatch.setattr(entry, _at(f"{address}/{name}"))
        spec = "torchvision/squeezenet1_1(pretrained=true)"
        if good:
            assert build_network(spec, 3, 10, SIZE).origin.weights_sha256 == digest
        else:
            with pytest.raises(UserError, match=r"cannot be downloaded \(invalid hash value"):
                build_network(spec, 3, 10, SIZE)
        assert (tmp_path / "torch/hub/checkpoints" / name).exists() == good


def test_a_run_knows_the_weights_that_it_began_with(tmp_path, monkeypatch):
    """From another folder it is resumed with them, with no others, and once it is trained without them."""
    monkeypatch.chdir(tmp_path)
    file = save_state(published("torchvision/squeezenet1_1").state_dict(), Path("net.safetensors"))
    model = "torchvision/squeezenet1_1(weights='net.safetensors', input=40)"
    recipe = small(f"model={model}", "train.freeze=to:features.12")

    def stopped(name: str) -> Path:
        session = Session.new(recipe, out=tmp_path, name=name, device="cpu", test=False)
        with pytest.raises(Interrupted):
            session.complete(listeners=[OnProgress(stop_at_first_step)])
        return session.run.path

    whole = Session.new(recipe, out=tmp_path, device="cpu", test=False)
    whole.complete()
    assert whole.run.env["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    first, second = stopped("first"), stopped("second")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    session = Session.resume(first)
    session.complete()
    assert session.run.read_weights() == whole.run.read_weights()
    save_state({key: 2 * value for key, value in published("torchvision/squeezenet1_1").state_dict().items()},
               tmp_path / file)  # fmt: skip
    with pytest.raises(UserError, match=r"net\.safetensors is not the one that it started from"):
        Session.resume(second)
    (tmp_path / file).unlink()
    Run.open(first).set_status("trained")
    shutil.rmtree(first / "predictions")
    session = Session.resume(first)
    session.complete()
    assert session.run.predictions("val")


def test_a_run_begun_from_an_own_run_is_resumed_from_anywhere(run_copy, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)

    def stopped(name: str) -> Path:
        session = Session.new(small("model=run:run"), out=tmp_path, name=name, device="cpu", test=False)
        with pytest.raises(Interrupted):
            session.complete(listeners=[OnProgress(stop_at_first_step)])
        return session.run.path

    first, second, third = stopped("first"), stopped("second"), stopped("third")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Session.resume(first).complete()
    env = Run.open(second).env
    (second / "env.json").write_text(json.dumps({key: env[key] for key in env if key != "weights_sha256"}))
    with caplog.at_level(logging.WARNING):
        Session.resume(second).complete()
    assert any("was not recorded" in record.message for record in caplog.records)
    shutil.rmtree(run_copy)
    with pytest.raises(UserError, match=rf"started from {re.escape(str(run_copy))}, which is gone: restore it"):
        Session.resume(third)
    Session.resume(first).complete()


def test_a_link_to_a_file_without_a_suffix_is_a_file_of_weights(tmp_path):
    blob = save_state(published("torchvision/squeezenet1_1").state_dict(), tmp_path / "0123")
    link = tmp_path / "net.safetensors"
    link.symlink_to(blob)
    network = build_network(f"torchvision/squeezenet1_1(weights='{link}')", 3, 10, SIZE)
    assert network.origin.weights == str(link)


def test_a_run_may_lie_anywhere_and_is_shown_with_its_own_data(run_copy, tmp_path, cli):
    place = run_copy.rename(tmp_path / "my run (2) für Jörg")
    network = build_network(f"run:{place}", 1, 10, (8, 8))
    assert network.origin.weights == str(place)
    shown = cli("model", f"run:{place}")
    assert shown.code == 0 and "14,698" in shown.out and not shown.err


@pytest.mark.parametrize(
    "spec, side",
    [
        ("torchvision/efficientnet_b1(weights='{file}', input='weights')", 240),
        ("timm/efficientnet_b0(input='weights')", 224),
        ("timm/vit_tiny_patch16_224(input='weights')", 224),
    ],
)
def test_the_weights_own_size_is_known(spec, side, tmp_path):
    file = save_state(published("torchvision/efficientnet_b1").state_dict(), tmp_path / "net.safetensors")
    network = build_network(spec.format(file=file), 3, 10, SIZE)
    assert f"input={side}" in network.architecture
    assert build_network(network.architecture, 3, 10, SIZE).architecture == network.architecture


def test_a_pattern_without_a_match_says_so(cli):
    done = cli("model", "torchvison/res*")
    assert done.code == 2 and "no model matches 'torchvison/res*'" in done.err
    assert cli("model", "speednet(widths=[8, 8, 8])").code == 0


def test_thawing_after_the_end_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"unfreeze_every=2: the training ends at train.epochs=2"):
        Session.new(small("train.freeze=all-but-head", "train.unfreeze_every=2", "train.epochs=2"),
                    out=tmp_path, device="cpu")  # fmt: skip


def test_a_network_of_bare_parameters_is_one_stage():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(64, 10))

    assert stages(Network(Bare())) == {"parameters": ("weight",)}


def test_random_weights_forget_batch_norms_start_within_a_short_training(tmp_path):
    name = "torchvision/mobilenet_v3_small"
    file = save_state(published(name).state_dict(), tmp_path / "net.safetensors")

    def momenta(model: str) -> set[float]:
        network = prepare(small(f"model={model}", "data.size=32"), "cpu").model.network
        return {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)}

    assert momenta(name) == {0.1} and momenta(f"{name}(weights='{file}')") == {0.01}


def test_timms_positions_are_resized_and_another_networks_file_is_refused(tmp_path):
    timm = pytest.importorskip("timm")
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    file = save_state(state, tmp_path / "vit.safetensors")
    network = build_network(f"timm/vit_tiny_patch16_224(weights='{file}')", 3, 10, SIZE).module
    assert network.pos_embed.shape == (1, 5, 192) and torch.equal(
        network.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"]
    )
    with pytest.raises(UserError, match=r"vit\.safetensors: does not fit timm/resnet10t") as error:
        build_network(f"timm/resnet10t(weights='{file}')", 3, 10, SIZE)
    assert "\n" not in str(error.value)


def test_a_card_beside_the_weights_brings_its_normalisation(tmp_path, trained):
    file = tmp_path / "net.safetensors"
    data = pack(published("torchvision/squeezenet1_1").state_dict(), file)
    file.write_bytes(data)
    card = {**Run.open(trained).card, "channels": 3, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    beside(file).write_text(json.dumps({**card, "sha256": hashlib.sha256(data).hexdigest()}))
    spec = f"torchvision/squeezenet1_1(weights='{file}')"
    assert build_network(spec, 3, 10, SIZE).normalisation[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    beside(file).write_text(json.dumps(card))
    with pytest.raises(UserError, match="sha256 differs"):
        build_network(spec, 3, 10, SIZE)


def test_real_weights_know_more_than_random_ones(shared_data, tmp_path):
    """SqueezeNet 1.1 from ImageNet, frozen: a head on 100 digits learns far more than on random features."""
    file = shared_data / "weights" / "squeezenet1_1-imagenet-fp16.safetensors"
    if not file.is_file():
        pytest.skip("needs the real weights")
    words = [
        "data.limit=100",
        "data.val=0.1",
        "train.freeze=all-but-head",
        "train.epochs=8",
        "optim.name=adam",
        "optim.lr=0.003",
    ]
    accuracies = []
    for given in (f"weights='{file}', ", ""):
        session = Session.new(
            small(f"model=torchvision/squeezenet1_1({given}input=64, last_relu='identity')", *words),
            out=tmp_path,
            device="cpu",
            test=False,
        )
        session.complete()
        accuracies.append(session.run.metrics()[-1]["val_accuracy"])
    assert accuracies[0] > accuracies[1] + 0.3, accuracies


def test_the_folders_recipe_trains_on_colour_in_small_batches(tmp_path):
    settings = {"data.source": "digits", "data.size": 32, "data.limit": 320, "model": "cnn2", "train.epochs": 2}
    run = thirtytwo.train(recipes.find("finetune").override(settings), out=tmp_path, test=False, progress=False)
    assert run.card["channels"] == 3 and run.scores("val")["accuracy"].value > 0.2


@pytest.mark.parametrize("name", registry.names("*finetune*"))
def test_the_finetuning_recipes_name_parts_that_exist(name):
    recipe = recipes.find(name)
    spec = recipe.model.replace("pretrained=True, ", "").replace("(pretrained=True)", "")
    if "vgg19" in spec:
        pytest.skip("built above, which takes half a minute")
    network = build_network(spec, 3, 10, SIZE)
    assert recipe.train.freeze == "none" or plan(network, recipe.train.freeze)

"""What every method must hold, whatever it computes. A new entry of METHODS is tested here before it has a file."""

import copy
import inspect
import itertools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from project import EXPERIMENTS
from timm.layers import DropPath
from timm.models.vision_transformer import LayerScale

from ship.errors import BadInput
from ship.experiment.code import Code
from ship.experiment.params import read_params
from ship.experiment.rows import Train
from ship.inference.attention import look
from ship.inference.predict import answer, readied
from ship.methods import METHODS, build, method_class
from ship.methods.base import Foldable, Method, Probe, linear_head, load_tuned, tuned_parameters, tuned_state
from ship.methods.options import check_options, check_recipe
from ship.methods.rounding import rounded
from ship.models.features import features
from ship.models.hierarchy import affinity, first_blocks
from ship.models.noise import Noise, perturb
from ship.models.vit import embed, encode, pool

CLASSES = 7
OPTIONS = {"linear": [{}], "vpt": [{"deep": True, "prompt_length": 3}, {"deep": False, "prompt_length": 3}]}
OPTIONS["cvpt"] = [{"prompt_length": 3, "position": position} for position in range(1, 6)]
OPTIONS |= {name: [{}] for name in ("bitfit", "full", "layernorm")}
OPTIONS |= {"adaptformer": [{"bottleneck": 5}], "partial": [{"blocks": 1}, {"blocks": 3}]}
OPTIONS |= {"houlsby": [{"bottleneck": 5}], "pfeiffer": [{"bottleneck": 5}], "ssf": [{}]}
OPTIONS["adapter_plus"] = [{"rank": 5}, {"rank": 2, "biases": True}]
OPTIONS["mlp"] = [{"width": 8}]
OPTIONS["lora"] = [{"rank": 2}, {"rank": 2, "dora": True}]
OPTIONS |= {"vera": [{"rank": 6}], "oft": [{"block_size": 6}]}
OPTIONS["repadapter"] = [{"bottleneck": 6, "groups": 3}]
OPTIONS |= {"fact_tk": [{"rank": 5}], "fact_tt": [{"rank": 5}]}
OPTIONS["convpass"] = [{"bottleneck": 5}]
OPTIONS["shared_adapter"] = [
    {"rank": 5},
    {"rank": 5, "level_rank": 7, "threshold": 2.0},
    {"rank": 0, "level_rank": 4, "threshold": 2.0, "grouping": "uniform"},
    {"rank": 2, "level_rank": 3, "threshold": -1.0, "grouping": "random"},
    {"rank": 5, "biases": True},
]
OPTIONS["ship"] = [
    {"prompt_length": 3, "threshold": 2.0},
    {"prompt_length": 3, "threshold": -1.0},
    {"prompt_length": 0, "threshold": 2.0},
    {"shared_length": 0, "threshold": 2.0},
    {"attribute_length": 0},
    {"matching_weight": 0.0},
    {"decoupled": False},
    {"prompt_length": 3, "threshold": 2.0, "gated": True},
    {"prompt_length": 0, "shared_length": 0, "attribute_length": 0},
]


def cases(methods, options):
    """A parameter for each method and each of its options; one that has none here is tried with its defaults."""
    variants = [(name, i, each) for name in methods for i, each in enumerate(options.get(name, [{}]))]
    return [pytest.param(name, each, id=f"{name}-{i}") for name, i, each in variants]


CASES = cases(METHODS, OPTIONS)
UNDROPPED = {"adaptformer", "cvpt"}  # whose branch takes no stochastic depth
UNSCALED = {*UNDROPPED, "adapter_plus", "convpass", "shared_adapter"}  # nor LayerScale


@pytest.fixture
def statistics(tiny_vit):
    """Affinity and prototypes of the tiny backbone on noise."""
    blocks, _ = features(tiny_vit, torch.randn(12, 3, 16, 16))
    return {"affinity": affinity(blocks), "prototypes": blocks[-1].clone()}


@pytest.fixture
def make(tiny_vit, statistics):
    """Build a method around a fresh copy of the tiny backbone."""

    def make(name, options):
        torch.manual_seed(1)
        with torch.device("cpu"):  # where runs build it, too
            known = {key: tensor.cpu() for key, tensor in statistics.items()}
            model = build(name, copy.deepcopy(tiny_vit).cpu(), CLASSES, options, known)
        return model.to(torch.get_default_device())

    return make


def step(model, images, labels):
    """One training step; the loss."""
    optimiser = torch.optim.AdamW(tuned_parameters(model).values(), lr=0.1)
    model.train()
    logits, penalty = model(images)
    loss = F.cross_entropy(logits, labels) + penalty
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss


def undropped(model):
    """The model without dropout, which draws too."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def entering(model, images):
    """What the first norm of each block is given, in a list for each block."""
    given = [[] for _ in model.vit.blocks]
    hooks = [
        block.norm1.register_forward_pre_hook(lambda _, inputs, own=own: own.append(inputs[0]))
        for block, own in zip(model.vit.blocks, given, strict=True)
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return given


@pytest.mark.parametrize(("name", "options"), CASES)
class TestContract:
    """The contract, over every method and its variants."""

    def test_logits_have_a_column_a_class(self, make, name, options):
        """Logits are (B, C), finite, in both modes."""
        model = make(name, options)
        for mode in (True, False):
            logits = model.train(mode)(torch.randn(3, 3, 16, 16)).logits
            assert logits.shape == (3, CLASSES)
            assert logits.isfinite().all()

    def test_bf16_gives_the_bits_of_weights_that_are_rounded_at_every_use(self, make, name, options):
        """Logits in training and evaluation, and every gradient."""
        images, labels, ends = torch.randn(3, 3, 16, 16), torch.arange(3), []
        bf16 = torch.autocast(images.device.type, torch.bfloat16)
        for autocast in (torch.autocast(images.device.type, enabled=False), bf16):
            torch.manual_seed(2)
            model = make(name, options)
            with rounded(model, autocast):
                with bf16:
                    logits, penalty = model.train()(images)
                    loss = F.cross_entropy(logits, labels) + penalty
                loss.backward()
                said = answer(readied(model, bf16), images, bf16)
            found = [torch.empty(0) if p.grad is None else p.grad for p in tuned_parameters(model).values()]
            ends.append([logits, said, *found])
        assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))

    def test_noise_acts_on_what_it_adds_alone(self, make, tiny_vit, name, options):
        """Where that is nothing yet, noise changes nothing; a step later it does, in training and from block 1 on."""
        images, model = torch.randn(3, 3, 16, 16), undropped(make(name, options))
        if not model.takes_noise:
            assert not any(isinstance(module, Noise) for module in model.children())
            return
        perturb(model.noise, 0.3)
        frozen = model.head(encode(tiny_vit, images))
        if torch.allclose(model.eval()(images).logits, frozen, atol=1e-6):
            torch.testing.assert_close(model.train()(images).logits, frozen, rtol=0, atol=1e-6)
        step(model, images, torch.arange(3))
        adds = not torch.allclose(model.eval()(images).logits, model.head(encode(tiny_vit, images)), atol=1e-6)
        for block, noise in enumerate(model.noise):
            perturb(model.noise, 0.0)
            noise.deviation = 0.3 if block else 0.0
            still = torch.equal(model.train()(images).logits, model(images).logits)
            assert still == (block == 0 or not adds), f"block {block}"
            assert torch.equal(model.eval()(images).logits, model(images).logits)

    def test_noise_of_a_block_acts_from_there_on(self, make, name, options):
        """The blocks before it are given what they are given without it."""
        images, model = torch.randn(3, 3, 16, 16), undropped(make(name, options))
        step(model, images, torch.arange(3))
        plain = entering(model, images)
        for block, noise in enumerate(model.noise if model.takes_noise else ()):
            noise.deviation = 0.3
            for some, others in list(zip(entering(model, images), plain, strict=True))[:block]:
                assert all(torch.equal(one, other) for one, other in zip(some, others, strict=True)), f"block {block}"
            noise.deviation = 0.0

    def test_depth_and_layer_scale_act_on_what_it_adds(self, make, name, options):
        """Where either is nothing, tokens pass every block as they are, unless the method says that it is apart."""
        for part, nothing, apart in (("drop_path", DropPath(1.0), UNDROPPED), ("ls", LayerScale(24, 0.0), UNSCALED)):
            images, model = torch.randn(3, 3, 16, 16), make(name, options)
            step(model, images, torch.arange(3))
            for block in model.vit.blocks:
                setattr(block, f"{part}1", nothing)
                setattr(block, f"{part}2", nothing)
            passed = pool(model.vit, embed(model.vit, images))
            wanted = model.on_pooled(passed).logits if isinstance(model, Probe) else model.head(passed)
            assert torch.allclose(model(images).logits, wanted, atol=1e-6) == (name not in apart), part

    def test_evaluation_gives_the_logits_of_training(self, make, name, options):
        """Where nothing is drawn: what inference spares changes nothing, not even in float64."""
        images, model = torch.randn(3, 3, 16, 16), undropped(make(name, options))
        step(model, images, torch.arange(3))
        exact, images = model.double(), images.double()
        torch.testing.assert_close(exact.eval()(images).logits, exact.train()(images).logits, rtol=0, atol=1e-9)

    def test_a_model_that_is_cast_computes_in_its_type(self, make, name, options):
        """Without autocast, in training and evaluation, near what it gives in float32; gradients have it, too."""
        images, model = torch.randn(3, 3, 16, 16), undropped(make(name, options))
        step(model, images, torch.arange(3))
        wanted = model.eval()(images).logits
        for kind in (torch.bfloat16, torch.float16):
            cast = copy.deepcopy(model).to(kind)
            cast.zero_grad()
            for mode in (True, False):
                logits, penalty = cast.train(mode)(images.to(kind))
                torch.testing.assert_close(logits, wanted.to(kind), rtol=0.1, atol=0.1)
            (logits.square().mean() + penalty).backward()
            assert {p.grad.dtype for p in tuned_parameters(cast).values() if p.grad is not None} == {kind}

    def test_a_step_leaves_the_backbone_alone(self, make, name, options):
        """Training changes tuned tensors and no frozen one."""
        model = make(name, options)
        before = {k: v.clone() for k, v in model.named_parameters() if not v.requires_grad}
        tuned = {k: v.detach().clone() for k, v in tuned_parameters(model).items()}
        step(model, torch.randn(4, 3, 16, 16), torch.arange(4))
        assert all(torch.equal(v, model.get_parameter(k)) for k, v in before.items())
        assert any(not torch.equal(tuned[k], v) for k, v in tuned_parameters(model).items())

    def test_every_tuned_parameter_gets_a_gradient(self, make, name, options):
        """No tensor is counted and saved but never trained; what starts behind a zero is reached in the second step."""
        model = make(name, options)
        for _ in range(2):
            step(model, torch.randn(4, 3, 16, 16), torch.arange(4))
        idle = [k for k, p in tuned_parameters(model).items() if p.numel() and (p.grad is None or not p.grad.any())]
        assert idle == []

    def test_evaluation_is_deterministic_and_alone(self, make, name, options):
        """In evaluation mode an image's logits depend neither on the call nor on its batch mates."""
        model = make(name, options).eval()
        images = torch.randn(5, 3, 16, 16)
        with torch.no_grad():
            whole = model(images).logits
            torch.testing.assert_close(whole, model(images).logits, rtol=0, atol=0)
            torch.testing.assert_close(whole[1:2], model(images[1:2]).logits, rtol=1e-4, atol=1e-6)

    def test_penalty_is_a_finite_cost(self, make, name, options):
        """The penalty is finite and not negative in training, and absent in evaluation."""
        model = make(name, options)
        penalty = torch.as_tensor(model.train()(torch.randn(2, 3, 16, 16)).penalty)
        assert penalty.isfinite()
        assert penalty >= 0
        assert model.eval()(torch.randn(2, 3, 16, 16)).penalty == 0

    def test_a_checkpoint_gives_the_same_logits(self, make, name, options):
        """Tuned tensors and buffers, put into a fresh model, give equal logits."""
        model = make(name, options)
        step(model, torch.randn(4, 3, 16, 16), torch.arange(4))
        other = make(name, options)
        load_tuned(other, {k: v.detach().clone() for k, v in tuned_state(model).items()}, "checkpoint")
        images = torch.randn(2, 3, 16, 16)
        with torch.no_grad():
            assert torch.equal(model.eval()(images).logits, other.eval()(images).logits)

    def test_what_it_looks_at_is_its_attention(self, make, name, options):
        """Of the class token in the last block, prompts in the same softmax included, by the plain formula.

        Not of a method that tunes keys: the formula has those of tokens.
        """
        images, model = torch.randn(3, 3, 16, 16), make(name, options)
        step(model, torch.randn(4, 3, 16, 16), torch.arange(4))
        last = model.vit.blocks[-1]
        normed = []
        hook = last.norm1.register_forward_hook(lambda module, given, found: normed.append(found))
        found = look(model, images).attention
        hook.remove()
        h = torch.cat([part.expand(3, -1, -1) for part in sorted(normed, key=lambda part: -len(part))], dim=1)
        if (tokens := found.shape[1]) > h.shape[1]:
            torch.testing.assert_close(found.sum(1), torch.ones(3, dtype=torch.float64))
            return
        h = h[:, :tokens]  # prompts in a softmax of their own have no share
        exact, heads = copy.deepcopy(last.attn.qkv).double(), last.attn.num_heads
        q, k, _ = exact(h.double()).unflatten(-1, (3, heads, -1)).unbind(2)
        weights = [torch.exp(q[:, :1, head] @ k[:, :, head].mT / q.shape[-1] ** 0.5) for head in range(heads)]
        shares = (sum(part / part.sum(-1, keepdim=True) for part in weights)[:, 0] / heads).cpu()
        image = model.vit.pos_embed.shape[1]
        torch.testing.assert_close(found[:, :image], shares[:, :image], rtol=0, atol=1e-5)
        torch.testing.assert_close(found[:, image:].sum(1), shares[:, image:].sum(1), rtol=0, atol=1e-5)

    def test_the_count_is_the_closed_formula(self, make, statistics, name, options):
        """Tuned parameters are as many as the paper's formula says."""
        model = make(name, options)
        total = sum(p.numel() for p in tuned_parameters(model).values())
        assert TUNED[name](options, statistics) + 24 * CLASSES + CLASSES == total


@pytest.mark.parametrize("name", METHODS)
class TestDeclaration:
    """What a method's class says of itself, on which the rest of the package relies."""

    def test_it_is_a_method(self, name):
        """One class of METHODS, whose abstract parts are all there."""
        kind = method_class(name)
        assert issubclass(kind, Method)
        assert not inspect.isabstract(kind)
        assert set(kind.statistics) <= {"affinity", "prototypes"}
        assert (kind.trains_on == "pooled") == issubclass(kind, Probe)

    def test_it_takes_noise_or_refuses_it(self, name):
        """A recipe with noise is refused where there is nothing that it could act on, before anything is built."""
        recipe = Train(noise=0.5)
        if method_class(name).takes_noise:
            check_recipe(name, recipe, "row")
        else:
            with pytest.raises(BadInput, match=rf"row: expected train\.noise 0, since {name} adds nothing"):
                check_recipe(name, recipe, "row")

    def test_its_keyword_arguments_are_its_options(self, name):
        """Each has a type and, unless it is a statistic, a default that has this type."""
        kind = method_class(name)
        first, *positional = inspect.signature(kind).parameters.values()
        keywords = {p.name: p for p in positional if p.kind is p.KEYWORD_ONLY}
        assert [first.name, positional[0].name, len(positional)] == ["vit", "num_classes", len(keywords) + 1]
        defaults = {key: p.default for key, p in keywords.items() if p.default is not p.empty}
        assert keywords.keys() - defaults.keys() == set(kind.statistics)
        check_options(name, defaults, "defaults")

    def test_it_is_named_in_this_file(self, name):
        """Options that are small enough, and the paper's formula."""
        assert name in OPTIONS, f"OPTIONS: expected small options of {name} to test it with, found none"
        assert name in TUNED, f"TUNED: expected the formula of {name}, found none"


def test_a_method_without_options_here_is_tried_all_the_same():
    """It fails its own tests, and not the collection of all others."""
    assert [case.id for case in cases(["linear", "new"], {"linear": [{}, {}]})] == ["linear-0", "linear-1", "new-0"]


@pytest.mark.parametrize(
    ("name", "options"), [case for case in CASES if issubclass(method_class(case.values[0]), Foldable)]
)
def test_folded_prompts_change_no_logit(make, name, options):
    """Prompts whose keys and values are computed once give the logits within 1e-5, at any batch size."""
    model = make(name, options)
    step(model, torch.randn(4, 3, 16, 16), torch.arange(4))
    model.eval()
    with torch.no_grad():
        folded = model.fold()
        for images in (torch.randn(1, 3, 16, 16), torch.randn(3, 3, 16, 16)):
            torch.testing.assert_close(model(images, folded).logits, model(images).logits, rtol=0, atol=1e-5)


def ship_prompts(options, statistics):
    """P M + shared + A x attribute levels (those that do not start at block 0)."""
    starts = first_blocks(statistics["affinity"], options.get("threshold", 0.95))
    mixed = [start for start in starts[-2:] if start > 0]
    attribute = options.get("attribute_length", 10) * len(mixed)
    return options.get("prompt_length", 50) * len(starts) + options.get("shared_length", 10) + attribute


def shared_adapter(options, statistics):
    """2 D (R + level_rank), D + R + the rank of its level a block (levels are the 4 blocks, or one), and biases."""
    rank, levels = options["rank"], options.get("level_rank", 0)
    own = levels if options.get("threshold") == 2.0 else 4 * levels
    return 2 * 24 * (rank + levels) + 4 * (24 + rank) + own + BIASES * options.get("biases", False)


BIASES = 4 * 11 * 24 + 2 * 24
BLOCK = 12 * 24**2 + 13 * 24  # weights, biases and norms of a block
TUNED = {  # without the head, for depth 4, width 24, 16 patches of 4 x 4 pixels
    "adapter_plus": lambda options, statistics: (
        4 * (2 * 24 * options["rank"] + options["rank"] + 2 * 24) + BIASES * options.get("biases", False)
    ),
    "adaptformer": lambda options, statistics: 4 * (2 * 24 * options["bottleneck"] + options["bottleneck"] + 24),
    "bitfit": lambda options, statistics: BIASES,
    "convpass": lambda options, statistics: 2 * 4 * (2 * 24 * 5 + 5 + 24 + 9 * 5**2 + 5),
    "cvpt": lambda options, statistics: 4 * options["prompt_length"] * 24,
    "fact_tk": lambda options, statistics: 2 * 24 * 5 + 12 * 4 * 5 + 5**3,
    "fact_tt": lambda options, statistics: 2 * 24 * 5 + 12 * 4 * 5**2,
    "full": lambda options, statistics: 4 * BLOCK + (48 + 1) * 24 + (1 + 17) * 24 + 2 * 24,
    "houlsby": lambda options, statistics: 2 * 4 * (2 * 24 * options["bottleneck"] + options["bottleneck"] + 24),
    "layernorm": lambda options, statistics: 4 * 4 * 24 + 2 * 24,
    "linear": lambda options, statistics: 0,
    "lora": lambda options, statistics: 4 * 24 * (4 * options["rank"] + 2 * options.get("dora", False)),
    "mlp": lambda options, statistics: 24 * 8 + 8 + 8 * CLASSES - 24 * CLASSES,
    "oft": lambda options, statistics: 2 * 4 * 24 * (options["block_size"] - 1),
    "partial": lambda options, statistics: options["blocks"] * BLOCK + 2 * 24,
    "pfeiffer": lambda options, statistics: 4 * (2 * 24 * options["bottleneck"] + options["bottleneck"] + 24),
    "repadapter": lambda options, statistics: 2 * 4 * (24 * 6 + 6 + 24 * 6 // options["groups"] + 24),
    "shared_adapter": shared_adapter,
    "ship": lambda options, statistics: (
        24 * ship_prompts(options, statistics) + 3 * 4 * options.get("gated", False)  # levels are blocks there
    ),
    "ssf": lambda options, statistics: 22 * 24 * 4 + 4 * 24,
    "vera": lambda options, statistics: 2 * 4 * (options["rank"] + 24),
    "vpt": lambda options, statistics: 24 * options["prompt_length"] * (4 if options["deep"] else 1),
}


def test_options_are_checked_by_the_constructor():
    """Unknown methods, unknown options and wrong types are named with their place."""
    check_options("ship", {"threshold": 1, "prompt_length": 5, "decoupled": False}, "methods.x")
    with pytest.raises(BadInput, match="methods.x.method: expected one of .* got 'shipp' .did you mean 'ship'"):
        check_options("shipp", {}, "methods.x")
    with pytest.raises(BadInput, match="methods.x.options.promt_length: expected one of .* 'prompt_length'"):
        check_options("vpt", {"promt_length": 5}, "methods.x")
    with pytest.raises(BadInput, match="methods.x.options.deep: expected a boolean, got 1"):
        check_options("vpt", {"deep": 1}, "methods.x")
    with pytest.raises(BadInput, match="methods.x.options.prompt_length: expected greater than or equal to 0, got -1"):
        check_options("ship", {"prompt_length": -1}, "methods.x")
    with pytest.raises(BadInput, match="methods.x.options.threshold: expected a finite number, got nan"):
        check_options("ship", {"threshold": float("nan")}, "methods.x")
    with pytest.raises(
        BadInput, match=r"^methods.x.options.deep: expected .*; methods.x.tasks.t.options.promt: expected"
    ):
        check_options("vpt", {"deep": 1, "promt": 5}, "methods.x", {"promt": "methods.x.tasks.t.options.promt"})


@pytest.mark.parametrize("preset", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_rows_of_a_preset_are_accepted(preset):
    """Every row names a method and options that it takes, on every task, with every value that a search may choose."""
    params = read_params(preset)
    for name, row in params.methods.items():
        candidates = row.search.candidates if row.search else {}
        searched = [{key: value} for key, values in candidates.items() for value in values]
        for task, chosen in itertools.product(params.tasks, searched or [{}]):
            check_options(row.method, params.options_of(name, task, chosen), f"{preset}: methods.{name}")


def test_a_checkpoint_of_another_model_is_refused(make):
    """Names and shapes that differ are named."""
    model = make("vpt", {"prompt_length": 3})
    with pytest.raises(BadInput, match="x: prompts: expected shape"):
        load_tuned(model, tuned_state(make("vpt", {"prompt_length": 4})), "x")
    with pytest.raises(BadInput, match="x: expected the tensors .* got a file that lacks prompts$"):
        load_tuned(model, tuned_state(make("linear", {})), "x")


@pytest.mark.gpu
def test_all_of_this_holds_on_a_gpu():
    """The same tests, with every tensor there."""
    call = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not gpu", "--device", "cuda", __file__]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


STARTS = [
    ("ship", {"prompt_length": 40}, "sip.0", (6 / (24 * 41)) ** 0.5),
    ("ship", {"shared_length": 40}, "ssp", (6 / 24) ** 0.5),
    ("ship", {"attribute_length": 16, "threshold": 0.5}, "ap", (6 / (16 * 24)) ** 0.5),
    ("vpt", {}, "prompts", (6 / (3 * 16 + 24)) ** 0.5),
    ("cvpt", {}, "prompts", (6 / (24 * 14)) ** 0.5),
    ("fact_tt", {}, "factors.s", 16**-0.5),
    ("fact_tt", {}, "factors.u", 24**-0.5),
    ("fact_tk", {"rank": 8}, "factors.c", (6 / 128) ** 0.5),
    ("fact_tk", {}, "factors.p", (6 / (48 + 32)) ** 0.5),
    ("adaptformer", {}, "adapters.0.0.weight", 24**-0.5),
    ("convpass", {}, "beside_mlp.0.down.weight", (6 / (24 + 8)) ** 0.5),
    ("repadapter", {}, "vit.blocks.0.attn.qkv.down.weight", (6 / (24 + 8)) ** 0.5),
]


@pytest.mark.parametrize(("name", "options", "tensor", "bound"), STARTS)
def test_what_is_tuned_starts_uniform_within_its_bound(tiny_vit, name, options, tensor, bound):
    """Glorot's, or as its module says."""
    facts = {"affinity": torch.eye(4), "prototypes": torch.randn(6, 24)}
    value = dict(build(name, tiny_vit, 5, options, facts).named_parameters())[tensor].detach()
    assert value.abs().max().item() == pytest.approx(bound, rel=0.05)
    assert value.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)


def test_a_head_starts_small():
    """So that all classes are as likely."""
    assert linear_head(500, 40).weight.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("name", [name for name in METHODS if "dropout" in Code().options(name)])
def test_dropout_acts_in_training(tiny_vit, name):
    """On something that reaches the logits."""
    model = build(name, tiny_vit, 3, {"dropout": 0.5}, {}).train()
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_(0, 0.5)
    images = torch.randn(2, 3, 16, 16)
    assert not torch.allclose(model(images).logits, model(images).logits)

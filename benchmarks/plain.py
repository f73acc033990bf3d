"""What one would write instead: timm, peft's LoRA of rank 8 and a DataLoader; trained, then tested once.

    python benchmarks/plain.py WEIGHTS FOLDER --size 112 --epochs 1
    python benchmarks/plain.py WEIGHTS FOLDER --epochs 10 --habits    # of published codes

FOLDER holds train800val200.txt and test.txt, a line an image: path and label. WEIGHTS are a ViT-Ti/16 of timm.
Prints accuracy, seconds and processor seconds; `ship train` of the same task tells its own in its log.
With `--habits` it saves the whole model after every epoch, and tests after the 1st, the 11th and so on too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import timm
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Images(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, folder: Path, split: str, size: int) -> None:
        lines = (folder / f"{split}.txt").read_text().splitlines()
        self.rows = [(folder / line.rsplit(" ", 1)[0], int(line.rsplit(" ", 1)[1])) for line in lines]
        normalise = transforms.Normalize([0.5] * 3, [0.5] * 3)
        bicubic = transforms.InterpolationMode.BICUBIC
        self.change = transforms.Compose([transforms.Resize((size, size), bicubic), transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        path, label = self.rows[number]
        return self.change(Image.open(path).convert("RGB")), label


def model(weights: str, size: int, classes: int) -> nn.Module:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=size, num_classes=classes)
    state = {name: value for name, value in load_file(weights).items() if not name.startswith("head.")}
    vit.load_state_dict(checkpoint_filter_fn(state, vit), strict=False)
    return get_peft_model(vit, LoraConfig(r=8, target_modules=["qkv"], modules_to_save=["head"]))


def accuracy(lora: nn.Module, images: Images, autocast: torch.autocast) -> float:
    """The share of images whose class is predicted right."""
    lora.eval()
    with torch.no_grad(), autocast:
        hits = sum(int((lora(batch).argmax(1) == labels).sum()) for batch, labels in DataLoader(images, 64))
    return hits / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--habits", action="store_true", help="of published codes: see above")
    args = parser.parse_args()
    begin = time.perf_counter()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    train, test = (Images(args.folder, split, args.size) for split in ("train800val200", "test"))
    lora = model(args.weights, args.size, len({label for _, label in train.rows}))
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16")
    optimiser = torch.optim.AdamW((p for p in lora.parameters() if p.requires_grad), lr=1e-3)
    with tempfile.TemporaryDirectory() as place:
        for epoch in range(args.epochs):
            lora.train()
            for images, labels in DataLoader(train, 64, shuffle=True, drop_last=True):
                with autocast:
                    loss = nn.functional.cross_entropy(lora(images), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            if args.habits:
                torch.save(lora.state_dict(), Path(place) / f"{epoch}.pt")
                if epoch % 10 == 0 and epoch + 1 < args.epochs:
                    accuracy(lora, test, autocast)
        found = accuracy(lora, test, autocast)
    seconds, processor = time.perf_counter() - begin, time.process_time()
    print(f"accuracy {found:.3f}, {seconds:.1f} s without imports, processor {processor:.1f} s with them")


if __name__ == "__main__":
    main()

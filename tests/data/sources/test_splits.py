import numpy as np
import pytest

from ship.data.sources.splits import stratified


@pytest.mark.parametrize("seed", range(5))
def test_stratified_split(seed):
    """Parts are disjoint, exactly as large as asked for, and every class is within one image of its share of train."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(7, size=600, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    sizes = (rng.integers(50, 300), rng.integers(20, 100), rng.integers(1, 200))
    parts = stratified(labels, sizes, 7, seed)
    assert [len(part) for part in parts] == list(sizes)
    assert len(set(np.concatenate(parts).tolist())) == sum(sizes)
    share = sizes[0] * np.bincount(labels, minlength=7) / 600
    assert abs(np.bincount(labels[parts[0]], minlength=7) - share).max() < 1
    assert all((np.diff(part) > 0).all() for part in parts)

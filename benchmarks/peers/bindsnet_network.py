"""One step of Diehl & Cook's network in BindsNET: `python -m benchmarks.peers.bindsnet_network`.

Runs in BindsNET's own environment, in the repository's root. What is timed is learning from one
image after the other, with the normalisation at the end of each; nothing is recorded.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from importlib.metadata import version

import numpy as np
import torch
from bindsnet.models import DiehlAndCook2015
from bindsnet.network.monitors import Monitor

from benchmarks.peers import activity
from benchmarks.peers.networks import DIEHL_COOK


def image_trains(draws: np.random.Generator) -> np.ndarray:
    """Return spikes (steps, inputs), 0 or 1, of one made-up image."""
    image = np.zeros(DIEHL_COOK.inputs)
    active = draws.choice(DIEHL_COOK.inputs, DIEHL_COOK.active, replace=False)
    image[active] = DIEHL_COOK.rate_hz * DIEHL_COOK.dt_ms / 1000
    return (draws.random((DIEHL_COOK.steps, DIEHL_COOK.inputs)) < image).astype(np.uint8)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=DIEHL_COOK.neurons)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    draws = np.random.default_rng(asked.seed)
    began = time.perf_counter()
    # Strengths are those of BindsNET's own MNIST example.
    network = DiehlAndCook2015(
        n_inpt=DIEHL_COOK.inputs,
        n_neurons=asked.neurons,
        exc=22.5,
        inh=120.0,
        dt=DIEHL_COOK.dt_ms,
        norm=78.4,
        theta_plus=DIEHL_COOK.theta_plus_mv,
    )
    built = time.perf_counter()
    monitor = Monitor(network.layers["Ae"], ["s"], time=DIEHL_COOK.steps)
    taken, spikes = [], 0
    for image in range(asked.images + 1):
        # The first image is run unmeasured, and shows that neurons fire.
        if image == 0:
            network.add_monitor(monitor, "Ae")
        trains = torch.from_numpy(image_trains(draws))
        start = time.perf_counter()
        network.run({"X": trains}, time=DIEHL_COOK.steps * DIEHL_COOK.dt_ms)
        if image == 0:
            spikes = int(monitor.get("s").sum())
            del network.monitors["Ae"]
        else:
            taken.append((time.perf_counter() - start) / DIEHL_COOK.steps)
        network.reset_state_variables()
    measured = {
        "simulator": "BindsNET",
        "version": version("bindsnet"),
        "build_s": built - began,
        "step_s": float(np.median(taken)),
        "spikes_first_image": spikes,
        **activity.memory(),
    }
    activity.say(asked, measured)


if __name__ == "__main__":
    main()

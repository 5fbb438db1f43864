"""Rules of synapses: what they say of themselves, what they refuse, what they ask of a neuron."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import ValidationError

import rules
from biosim.equations import EquationError, neuron_code, synapse_code
from biosim.errors import BiosimError
from biosim.spiking.description import Spiking, SynapseModel
from rules import RULES, SYNAPSE_RULES, Bcm, Homeostasis, Stdp, SynapseRule, TripletStdp
from rules.synaptic import facts, reads
from rules.triplet_stdp import PUBLISHED

NEURON = Spiking("dv/dt = -v/(10*ms) : volt\ninput : 1", "v > -50*mV", "v = -60*mV")

SUFFIXES = {"tau": ("_ms",), "theta": ("_mv",), "rho0": ("_hz",), "rate": ("_hz",)}
"""What a parameter's name begins with -> how it has to end: with its unit."""


def code(rule: SynapseRule) -> Any:
    return synapse_code(rule.synapse(), "input", 1e-4, "p", neuron_code(NEURON, 1e-4, "n"))


def without_unit(parameters: list[str]) -> list[str]:
    return [
        name
        for name in parameters
        for beginning, ends in SUFFIXES.items()
        if name.split("_")[0] == beginning and not name.endswith(ends)
    ]


@pytest.mark.parametrize("name", list(SYNAPSE_RULES))
def test_a_rule_is_made_by_its_name_and_knows_it(name: str) -> None:
    rule = SYNAPSE_RULES[name].model_validate({"name": name})
    assert rule == SYNAPSE_RULES[name].model_validate({})
    assert rule.name == name
    assert name not in RULES


@pytest.mark.parametrize("name", list(SYNAPSE_RULES))
def test_a_card_is_read_off_the_equations(name: str) -> None:
    card = facts(SYNAPSE_RULES[name].model_validate({}))
    assert card["source"]
    assert "synapse.w" in card["reads"]
    for read in card["reads"]:
        side, variable = read.split(".")
        assert side in ("pre", "post", "synapse", "shared")
        assert variable in ("spikes", "w") or variable in card["model"] + card["on_pre"]


def test_what_rules_read_tells_them_apart() -> None:
    found = {name: set(reads(rule.model_validate({}))) for name, rule in SYNAPSE_RULES.items()}
    both = {"pre.spikes", "post.spikes"}
    assert found["stdp"] == both | {"pre.apre", "post.apost", "synapse.w"}
    assert [name for name in found if any("shared." in read for read in found[name])] == [
        "reward_stdp"
    ]
    assert [name for name in found if "post.v" in found[name]] == ["clopath"]
    assert "post.spikes" not in found["clopath"]


@pytest.mark.parametrize("name", list(SYNAPSE_RULES))
def test_parameters_with_a_unit_have_it_in_their_name(name: str) -> None:
    assert not without_unit(list(SYNAPSE_RULES[name].model_fields))


def test_a_parameter_without_its_unit_is_found() -> None:
    assert without_unit(["tau_plus", "rho0_ms", "tau_x_ms", "a_plus"]) == ["tau_plus", "rho0_ms"]


@pytest.mark.parametrize(
    ("w_max", "unit"), [(2.0, "1"), ("0.3*mV", "volt"), ("2 nS", "siemens"), ("40*pA", "amp")]
)
def test_the_weight_has_the_unit_of_its_bound(w_max: Any, unit: str) -> None:
    for rule in SYNAPSE_RULES.values():
        made = rule.model_validate({"w_max": w_max})
        assert made.unit == unit
        assert f": {unit}" in made.synapse().model


def test_a_weight_in_a_unit_of_no_receptor_is_refused() -> None:
    with pytest.raises(EquationError, match=r"rule 'stdp', w_max: got '3\*pF', whose unit is F;"):
        Stdp(w_max="3*pF").synapse()


@pytest.mark.parametrize("w_max", ["-1*mV", "inf*mV", "1e400*mV"])
def test_a_greatest_weight_that_bounds_nothing_is_refused(w_max: str) -> None:
    for rule in SYNAPSE_RULES.values():
        with pytest.raises(EquationError, match=r"w_max: got .*; expected a finite weight, 0 or"):
            rule.model_validate({"w_max": w_max}).synapse()


@pytest.mark.parametrize("w_ref", [0.0, "0*mV", "-1*mV", "inf*mV"])
def test_a_reference_weight_that_is_not_above_zero_is_refused(w_ref: Any) -> None:
    of = {"w_max": "2*mV", "w_ref": w_ref}
    for made in (Stdp(weights="power_law", **of), TripletStdp(**of), Bcm(**of)):
        with pytest.raises(EquationError, match=r"w_ref: got .*; expected a finite weight above 0"):
            made.synapse()


def test_reference_weight_and_bound_must_have_one_unit() -> None:
    rule = Stdp(weights="power_law", w_max=1.0, w_ref="1*mV")
    with pytest.raises(EquationError, match=r"projection 'p', on_p(re|ost), line 1"):
        code(rule)


@pytest.mark.parametrize(
    ("rule", "given", "message"),
    [
        (Stdp, {"weights": "cubic"}, "weights"),
        (Stdp, {"tau_plus_ms": 0.0}, "tau_plus_ms"),
        (Stdp, {"lr": 0.1}, "lr"),
        (Stdp, {"mu": 0.5}, "mu is for weights=power_law; leave it out"),
        (Stdp, {"w_max": -1.0}, "w_max"),
        (TripletStdp, {"fit": "retina"}, "fit"),
        (TripletStdp, {"fit": ["hippocampus"]}, "fit"),
        (TripletStdp, {"pairing": "immediate"}, "pairing"),
    ],
)
def test_impossible_parameters_are_refused(
    rule: type[SynapseRule], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        rule.model_validate(given)


@pytest.mark.parametrize("rule", list(SYNAPSE_RULES.values()))
def test_a_rule_that_was_stored_is_read_back(rule: type[SynapseRule]) -> None:
    assert rule.model_validate(rule().model_dump()) == rule()


@pytest.mark.parametrize("fit", list(PUBLISHED))
def test_a_published_fit_sets_what_is_not_given(fit: Any) -> None:
    rule = TripletStdp(fit=fit)
    assert (rule.a2_plus, rule.a3_plus, rule.a2_minus, rule.a3_minus) == PUBLISHED[fit][:4]
    assert rule.pairing == ("nearest" if "nearest" in fit else "all")
    assert TripletStdp(fit=fit, tau_y_ms=1.0).tau_y_ms == 1.0


def test_the_default_is_the_full_fit_to_visual_cortex() -> None:
    assert TripletStdp() == TripletStdp(fit="visual_cortex")


def test_traces_live_where_all_synapses_share_them() -> None:
    made = code(Stdp())
    assert [trace.name for trace in made.pre_traces] == ["apre"]
    assert [trace.name for trace in made.post_traces] == ["apost"]
    # What has counted is gone for this synapse only.
    assert [trace.name for trace in code(Stdp(pairing="immediate")).own_traces] == ["apre", "apost"]


# --- what a rule adds to the neuron


def test_most_rules_leave_the_neuron_alone() -> None:
    assert Stdp().neuron(NEURON) is NEURON


def test_the_adaptive_threshold_is_added_to_what_was_there() -> None:
    model = Homeostasis(theta_step_mv=2.0).neuron(NEURON)
    made = neuron_code(model, 1e-4, "n")
    assert made.threshold is not None
    assert "theta" in made.threshold
    assert [step.name for step in made.reset] == ["v", "theta"]
    assert neuron_code(Homeostasis().neuron(Spiking(NEURON.model, "v > 1*mV")), 1e-4, "n").reset


@pytest.mark.parametrize("threshold", [None, "v < 0*mV", "v >= 0*mV", "v > 0*mV and v > 1*mV"])
def test_a_threshold_of_another_form_is_refused(threshold: str | None) -> None:
    with pytest.raises(EquationError, match=r"rule .homeostasis., threshold .* expected one of"):
        Homeostasis().neuron(Spiking(NEURON.model, threshold))


# --- rules from elsewhere


class Installed(SynapseRule):
    """A rule of another package."""

    source = "none"
    equations = "w stays"
    locality = "none"
    name: str = "mine"

    def synapse(self) -> SynapseModel:
        return SynapseModel(f"w : {self.unit}", "receptor += w", bounds=self.limits)


def installed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    found = [EntryPoint(name, value, "biosim.rules")]
    monkeypatch.setattr(rules, "entry_points", lambda group: found)
    monkeypatch.setattr(rules, "RULES", dict(RULES))
    monkeypatch.setattr(rules, "SYNAPSE_RULES", dict(SYNAPSE_RULES))


def test_an_installed_rule_of_synapses_is_listed_with_its_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, "mine", "rules.stdp:Stdp")
    rules._add_installed()
    assert rules.SYNAPSE_RULES["mine"] is Stdp
    assert "mine" not in rules.RULES


def test_an_installed_rule_does_not_replace_one_of_synapses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, "stdp", "rules.stdp:Stdp")
    with pytest.raises(BiosimError, match="adds a rule 'stdp', a name that is taken"):
        rules._add_installed()


def test_a_rule_of_ones_own_has_a_card() -> None:
    assert facts(Installed())["reads"] == ["pre.spikes", "synapse.w"]

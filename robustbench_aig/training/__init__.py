"""Training as a generator of events, the losses and augmentation it uses, and loading what was trained."""

from robustbench_aig.training.events import EpochEvent, Event, FinishedEvent, StepEvent
from robustbench_aig.training.loop import train
from robustbench_aig.training.session import Job
from robustbench_aig.training.weights import load_model

__all__ = ["EpochEvent", "Event", "FinishedEvent", "Job", "StepEvent", "load_model", "train"]

"""Training as a generator of events, the losses and augmentation it uses, and loading what was trained."""

from robustbench_aig.training.events import EpochEvent, Event, FinishedEvent, NoteEvent, StepEvent
from robustbench_aig.training.hardware import Hardware
from robustbench_aig.training.job import Job, existing
from robustbench_aig.training.train_loop import train
from robustbench_aig.training.weights import load_model

__all__ = [
    "EpochEvent",
    "Event",
    "FinishedEvent",
    "Hardware",
    "Job",
    "NoteEvent",
    "StepEvent",
    "existing",
    "load_model",
    "train",
]

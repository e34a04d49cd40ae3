"""A gated network of one's own, from a fresh file to a report: python examples/own_network.py."""

from torch import nn, optim, randint

from robustbench_aig import evaluate
from robustbench_aig.data import load_data
from robustbench_aig.gating import PooledGate, Sampled, gating


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(16, 16, 3, padding=1), PooledGate(16)

    def forward(self, x):
        return self.gate(x, x, self.conv).relu()  # x + z * conv(x), z decided by looking at x


data = load_data("digits", seed=0)
net = nn.Sequential(nn.Conv2d(1, 16, 3), Block(), Block(), Block(), nn.Flatten(), nn.Linear(16 * 6 * 6, 10))
optimizer = optim.AdamW(net.parameters(), lr=0.003)
for index in randint(len(data.train), (300, 128)):
    with gating(net, Sampled()) as trace:
        loss = nn.functional.cross_entropy(net(data.train.batch(index)), data.train.labels[index])
    optimizer.zero_grad()
    (loss + (trace.decisions.mean() - 0.6) ** 2).backward()  # of the blocks 60 % are to run
    optimizer.step()
report = evaluate(net, data.test.batch(slice(None)), data.test.labels, "reports/mine", eps=("8/255", "16/255"))
for worst in report.worst_case:
    print(f"{worst.accuracy.value:.1%} of {worst.accuracy.n} images withstand {worst.threat.eps}")

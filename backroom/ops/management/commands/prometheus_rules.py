"""`manage.py prometheus_rules`: the alert rules of backroom/ops/rules.py as a rule file for Prometheus."""

from collections.abc import Iterable

from django.core.management.base import BaseCommand

from backroom.ops.rules import RULES, Rule

HEAD = """\
# Generated from backroom/ops/rules.py: python manage.py prometheus_rules > monitoring/prometheus/rules.yml
groups:
  - name: back room
    rules:
"""


class Command(BaseCommand):
    help = "Print the alert rules as a rule file for Prometheus. Needs no database."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        self.stdout.write(HEAD + "\n".join("\n".join(lines(rule)) + "\n" for rule in RULES), ending="")


def lines(rule: Rule) -> Iterable[str]:
    """The rule in YAML."""
    yield f"      - alert: {''.join(word.capitalize() for word in rule.name.split('-'))}"
    expr = rule.expr % {"limit": rule.over}
    yield f"        expr: {quoted(f'{expr} unless on() backroom_broker_up == 0' if rule.needs_broker else expr)}"
    yield f"        for: {rule.lasting / 60:g}m"
    yield "        labels: {severity: page}"
    yield "        annotations:"
    subject, value = f"{{{{ $labels.{rule.label} }}}}", f"{{{{ $value | {rule.unit.template} }}}}"
    yield f"          summary: {quoted(rule.says.format(subject=subject, value=value))}"
    yield f"          action: {quoted(rule.do)}"


def quoted(text: str) -> str:
    """A single-quoted YAML string."""
    return "'" + text.replace("'", "''") + "'"

"""Export of spans to OTEL_EXPORTER_OTLP_ENDPOINT. Without it this module is not imported, and the OpenTelemetry API
does nothing."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def configure() -> None:
    """Call it once per process. OpenTelemetry restarts the exporter's thread in forked children."""
    provider = TracerProvider(resource=Resource.create({"service.name": "backroom"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

"""Spans go to the OTLP endpoint that OTEL_EXPORTER_OTLP_ENDPOINT names. Without one this is not even imported, and
OpenTelemetry's own API does nothing."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def configure() -> None:
    """To be called once in a process. The exporter's thread is started anew in forked children."""
    provider = TracerProvider(resource=Resource.create({"service.name": "backroom"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

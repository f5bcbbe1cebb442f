"""The @context of our entities: the terms of the NGSI-LD core that they use, and the Smart Data Models' for the rest.

Served by the hub itself, so that a reader without a network can still expand what it got. Pure.
"""

from typing import Any

PATH = "/ngsi-ld/contexts/core.jsonld"

DEFAULT_VOCABULARY = "https://uri.etsi.org/ngsi-ld/default-context/"
"""Where a term without a row below belongs (GS CIM 009, 5.5.7)."""

_CORE = "https://uri.etsi.org/ngsi-ld/"
_MODELS = "https://smartdatamodels.org/"
_DEVICE, _WEATHER = f"{_MODELS}dataModel.Device/", f"{_MODELS}dataModel.Weather/"
_WATER, _VEHICLE = f"{_MODELS}dataModel.Environment/", f"{_MODELS}dataModel.Transportation/"

TERMS = {
    "Device": f"{_DEVICE}Device",
    "WaterObserved": f"{_WATER}WaterObserved",
    "WeatherObserved": f"{_WEATHER}WeatherObserved",
    "Vehicle": f"{_VEHICLE}Vehicle",
    "dateObserved": f"{_MODELS}dateObserved",
    "refDevice": f"{_DEVICE}refDevice",
    "controlledProperty": f"{_DEVICE}controlledProperty",
    "dateLastValueReported": f"{_DEVICE}dateLastValueReported",
    "batteryLevel": f"{_DEVICE}batteryLevel",
    "waterLevel": f"{_WATER}waterLevel",
    "precipitation": f"{_WEATHER}precipitation",
    "temperature": f"{_WEATHER}temperature",
    "relativeHumidity": f"{_WEATHER}relativeHumidity",
    "atmosphericPressure": f"{_WEATHER}atmosphericPressure",
    "windSpeed": f"{_WEATHER}windSpeed",
    "windDirection": f"{_WEATHER}windDirection",
    "solarRadiation": f"{_WEATHER}solarRadiation",
    "vehicleType": f"{_VEHICLE}vehicleType",
    "category": f"{_VEHICLE}category",
    "speed": f"{_VEHICLE}speed",
    "heading": f"{_VEHICLE}heading",
}
"""Types and attributes with a model of their own."""


def document() -> dict[str, Any]:
    """The @context document."""
    core: dict[str, Any] = {
        "@version": 1.1,
        "@vocab": DEFAULT_VOCABULARY,
        "id": "@id",
        "type": "@type",
        "Property": f"{_CORE}Property",
        "GeoProperty": f"{_CORE}GeoProperty",
        "Relationship": f"{_CORE}Relationship",
        "value": f"{_CORE}hasValue",
        "object": {"@id": f"{_CORE}hasObject", "@type": "@id"},
        "observedAt": {"@id": f"{_CORE}observedAt", "@type": f"{_CORE}DateTime"},
        "unitCode": f"{_CORE}unitCode",
        "location": f"{_CORE}location",
        "Point": "https://purl.org/geojson/vocab#Point",
        "coordinates": {"@id": "https://purl.org/geojson/vocab#coordinates", "@container": "@list"},
    }
    return {"@context": {**core, **TERMS}}


def short(name: str) -> str:
    """The term for `name`, which may be written out as an IRI, of a model or of the default vocabulary."""
    if name.startswith(DEFAULT_VOCABULARY):
        return name.removeprefix(DEFAULT_VOCABULARY)
    return next((term for term, iri in TERMS.items() if iri == name), name)

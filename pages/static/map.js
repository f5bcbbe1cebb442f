// Vehicles and stations on the coastline that the hub serves itself: no tile server, no request to anybody else.
(() => {
  "use strict";
  const TRAIL = 600;
  const node = document.getElementById("map");
  if (!node) return;
  const shown = new Map();
  const FAR = 11; // below this zoom names of waters lie on those of towns on a phone
  node.classList.add("is-drawn"); // shows it: an element that is not shown has no size
  const canvas = L.canvas({ padding: 0.5 });
  const map = L.map(node, {
    renderer: canvas, minZoom: 8, maxZoom: 15, zoomSnap: 0.5, scrollWheelZoom: false, dragging: !L.Browser.mobile,
    fadeAnimation: false, zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches, markerZoomAnimation: false,
  }).setView([33.955, 130.94], 12);
  map.attributionControl.setPrefix(false).addAttribution("© OpenStreetMap contributors");
  L.control.scale({ imperial: false }).addTo(map);

  const measure = () => node.classList.toggle("is-far", map.getZoom() < FAR);
  map.on("zoomend", measure);

  for (const [lat, lon, name, isWater] of JSON.parse(node.dataset.names)) {
    const text = document.createElement("span");
    text.textContent = name;
    const className = isWater ? "place-name place-water" : "place-name";
    L.marker([lat, lon], { icon: L.divIcon({ className, html: text, iconSize: null }), interactive: false, keyboard: false }).addTo(map);
  }

  function picture(name) {
    const whole = document.createElement("span");
    whole.innerHTML = '<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#' + name + '"></use></svg>';
    return whole;
  }

  // Words beside a place: a dot of a vehicle, or the pin of a station, which is part of the label and square.
  function label(at, className, iconAnchor, ...parts) {
    const whole = document.createElement("div");
    whole.append(...parts);
    return L.marker(at, { icon: L.divIcon({ className, html: whole, iconSize: null, iconAnchor }), interactive: false, keyboard: false }).addTo(map);
  }

  function words(text) {
    const whole = document.createElement("span");
    whole.textContent = text;
    return whole;
  }

  const kinds = {
    vehicle: {
      make: (message) => ({
        trail: L.polyline([], { renderer: canvas, color: "#b3450f", weight: 3, opacity: 0.8, interactive: false }).addTo(map),
        dot: L.circleMarker(message.at, { renderer: canvas, radius: 7, color: "#fff", weight: 2, fillColor: "#b3450f", fillOpacity: 1, interactive: false }).addTo(map),
        label: label(message.at, "bus-label", [-12, 18], picture("bus"), words(message.label)),
      }),
      move: (layers, message) => {
        if (message.trail) layers.trail.setLatLngs(message.trail);
        const points = layers.trail.getLatLngs();
        const last = points[points.length - 1];
        if (!last || !last.equals(message.at)) points.push(L.latLng(message.at));
        layers.trail.setLatLngs(points.slice(-TRAIL));
        layers.dot.setLatLng(message.at);
        layers.label.setLatLng(message.at);
        if (!map.getBounds().pad(-0.05).contains(message.at)) map.panTo(message.at, { animate: false });
      },
    },
    station: {
      make: (message) => ({
        label: label(message.at, "station-label", [13, 13], picture(message.icon), words(message.label), words("")),
      }),
      move: (layers, message) => {
        layers.label.setLatLng(message.at);
        layers.label.getElement().querySelector("div").lastChild.textContent = message.value;
      },
    },
  };

  function place(message) {
    let thing = shown.get(message.id);
    if (thing && thing.kind !== message.kind) {
      remove(message.id, thing);
      thing = undefined;
    }
    if (!thing) {
      thing = { kind: message.kind, layers: kinds[message.kind].make(message) };
      shown.set(message.id, thing);
    }
    kinds[message.kind].move(thing.layers, message);
  }

  function remove(id, thing) {
    for (const layer of Object.values(thing.layers)) layer.remove();
    shown.delete(id);
  }

  // A vehicle out of service has no place any more: it leaves the map.
  function show(messages) {
    messages.forEach(place);
    const here = new Set(messages.map((message) => message.id));
    for (const [id, thing] of shown) if (!here.has(id)) remove(id, thing);
  }

  function look() {
    const bounds = L.latLngBounds([]);
    for (const { layers } of shown.values()) {
      bounds.extend(layers.label.getLatLng());
      if (layers.trail) bounds.extend(layers.trail.getBounds());
    }
    // Labels stand to the right of their places.
    if (bounds.isValid()) map.fitBounds(bounds, { paddingTopLeft: [40, 40], paddingBottomRight: [130, 40], maxZoom: 12, animate: false });
  }

  show(JSON.parse(node.dataset.places));
  look();
  fetch(node.dataset.coast).then((answer) => answer.json()).then((coast) => {
    L.geoJSON(coast, { renderer: canvas, interactive: false, style: { color: "#7f9a7a", weight: 1.5, fillColor: "#e9efdf", fillOpacity: 1 } })
      .addTo(map).bringToBack();
    node.classList.add("has-coast");
  });
  document.getElementById("events").addEventListener("places", (event) => {
    const wasEmpty = shown.size === 0;
    show(JSON.parse(event.detail.data));
    if (wasEmpty) look();
  });
})();

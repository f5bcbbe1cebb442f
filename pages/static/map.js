// The vehicles on the coastline that the hub serves itself: no tile server, no request to anybody else.
(() => {
  "use strict";
  const TRAIL = 600;
  const node = document.getElementById("map");
  if (!node) return;
  const vehicles = new Map();
  node.classList.add("is-drawn"); // shows it: an element that is not shown has no size
  const canvas = L.canvas({ padding: 0.5 });
  const map = L.map(node, {
    renderer: canvas, minZoom: 8, maxZoom: 15, zoomSnap: 0.5, scrollWheelZoom: false, dragging: !L.Browser.mobile,
    fadeAnimation: false, zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches, markerZoomAnimation: false,
  }).setView([33.955, 130.94], 12);
  map.attributionControl.setPrefix(false).addAttribution("© OpenStreetMap contributors");
  L.control.scale({ imperial: false }).addTo(map);

  for (const [lat, lon, name, isWater] of JSON.parse(node.dataset.names)) {
    const text = document.createElement("span");
    text.textContent = name;
    const className = isWater ? "place-name place-water" : "place-name";
    L.marker([lat, lon], { icon: L.divIcon({ className, html: text, iconSize: null }), interactive: false, keyboard: false }).addTo(map);
  }

  function label(id) {
    const text = document.createElement("span");
    text.textContent = id;
    const picture = document.createElement("span");
    picture.className = "bus-picture";
    picture.innerHTML = '<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#bus"></use></svg>';
    const whole = document.createElement("div");
    whole.append(picture, text);
    return whole;
  }

  function place(message) {
    let vehicle = vehicles.get(message.id);
    if (!vehicle) {
      vehicle = {
        trail: L.polyline([], { renderer: canvas, color: "#b3450f", weight: 3, opacity: 0.8, interactive: false }).addTo(map),
        dot: L.circleMarker(message.at, { renderer: canvas, radius: 7, color: "#fff", weight: 2, fillColor: "#b3450f", fillOpacity: 1, interactive: false }).addTo(map),
        label: L.marker(message.at, { icon: L.divIcon({ className: "bus-label", html: label(message.label), iconSize: null, iconAnchor: [-12, 18] }), interactive: false, keyboard: false }).addTo(map),
      };
      vehicles.set(message.id, vehicle);
    }
    if (message.trail) vehicle.trail.setLatLngs(message.trail);
    const points = vehicle.trail.getLatLngs();
    const last = points[points.length - 1];
    if (!last || !last.equals(message.at)) points.push(L.latLng(message.at));
    vehicle.trail.setLatLngs(points.slice(-TRAIL));
    vehicle.dot.setLatLng(message.at);
    vehicle.label.setLatLng(message.at);
    if (!map.getBounds().pad(-0.05).contains(message.at)) map.panTo(message.at, { animate: false });
  }

  // A vehicle out of service has no place any more: it leaves the map.
  function show(messages) {
    messages.forEach(place);
    const here = new Set(messages.map((message) => message.id));
    for (const [id, vehicle] of vehicles) {
      if (here.has(id)) continue;
      for (const layer of [vehicle.trail, vehicle.dot, vehicle.label]) layer.remove();
      vehicles.delete(id);
    }
  }

  function look() {
    const bounds = L.latLngBounds([]);
    for (const vehicle of vehicles.values()) bounds.extend(vehicle.dot.getLatLng()).extend(vehicle.trail.getBounds());
    if (bounds.isValid()) map.fitBounds(bounds.pad(0.6), { maxZoom: 12, animate: false });
  }

  show(JSON.parse(node.dataset.vehicles));
  look();
  fetch(node.dataset.coast).then((answer) => answer.json()).then((coast) => {
    L.geoJSON(coast, { renderer: canvas, interactive: false, style: { color: "#7f9a7a", weight: 1.5, fillColor: "#e9efdf", fillOpacity: 1 } })
      .addTo(map).bringToBack();
    node.classList.add("has-coast");
  });
  document.getElementById("events").addEventListener("vehicles", (event) => {
    const wasEmpty = vehicles.size === 0;
    show(JSON.parse(event.detail.data));
    if (wasEmpty) look();
  });
})();

// Shows every widget of a page: the part of anywidget's model that a front end asks for, without a kernel behind it.
(() => {
  function modelOf(values) {
    const listeners = new Map();
    const changed = new Set();
    const call = (event) => [...(listeners.get(event) ?? [])].forEach((listener) => listener());
    return {
      get: (name) => values[name],
      set(name, value) {
        values[name] = value;
        changed.add(name);
      },
      save_changes() {
        const names = [...changed];
        changed.clear();
        names.forEach((name) => call(`change:${name}`));
        if (names.length) call("change");
      },
      on: (event, listener) => listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)),
      off: (event, listener) => (listener ? listeners.get(event)?.delete(listener) : listeners.delete(event)),
      send() {},
    };
  }

  function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new DataView(bytes.buffer);
  }

  function show(host) {
    const widget = window.vqWidgets?.[host.dataset.host];
    const stored = host.dataset.stored.split(" ").filter(Boolean);
    if (!widget || stored.some((name) => !window.vqWeights?.[name])) return; // the still picture stays
    const values = JSON.parse(host.querySelector("script").textContent);
    values.weights = Object.fromEntries(stored.map((name) => [name, bytesOf(window.vqWeights[name])]));
    values.catalogue = window.vqCatalogues?.[host.dataset.host];
    const el = document.createElement("div");
    try {
      widget.render({ model: modelOf(values), el });
    } catch (error) {
      console.error(`the widget ${host.dataset.host} could not be shown`, error);
      return;
    }
    host.querySelector("img").remove();
    host.append(el);
  }

  // A widget further down the page is shown when it comes near: a model takes time to unpack.
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((entry) => entry.isIntersecting)) {
        near.unobserve(entry.target);
        show(entry.target);
      }
    },
    { rootMargin: "400px" },
  );
  document.querySelectorAll(".vq-host").forEach((host) => near.observe(host));
})();

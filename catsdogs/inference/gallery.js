"use strict";
const form = document.getElementById("controls");
const fields = form.elements;
const list = document.querySelector(".cards");
const cards = [...document.querySelectorAll(".cards > li")].map((element) => ({
  element,
  label: element.dataset.label,
  logit: Number(element.dataset.logit),
  confidence: Number(element.dataset.confidence),
  name: element.querySelector("bdi").textContent,
}));
const orders = {
  surest: (a, b) => Math.abs(b.logit) - Math.abs(a.logit),
  unsure: (a, b) => Math.abs(a.logit) - Math.abs(b.logit),
  cats: (a, b) => b.logit - a.logit,
  path: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
};

function filter() {
  const limit = Number(fields.limit.value);
  const wanted = fields.path.value.toLowerCase();
  let shown = 0;
  for (const card of cards) {
    const fits =
      (!fields.label.value || card.label === fields.label.value) &&
      (limit === 100 || 100 * card.confidence <= limit) &&
      card.name.toLowerCase().includes(wanted);
    card.element.hidden = !fits;
    shown += fits;
  }
  fields.limit_shown.value = `${limit} %`;
  document.getElementById("count").textContent = `${shown} of ${cards.length} shown`;
}

function sort() {
  list.append(...cards.sort(orders[fields.order.value]).map((card) => card.element));
}

if (list) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => (event.target.name === "order" ? sort() : filter()));
  sort(); // a browser may have kept the choices of a former visit
  filter();
}

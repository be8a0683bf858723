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
  most_confident: (a, b) => Math.abs(b.logit) - Math.abs(a.logit),
  least_confident: (a, b) => Math.abs(a.logit) - Math.abs(b.logit),
  cat_to_dog: (a, b) => b.logit - a.logit,
  path: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
};

function filter() {
  const limit = Number(fields.limit.value);
  const part = fields.path.value.toLowerCase();
  let shown = 0;
  for (const card of cards) {
    const fits =
      (!fields.label.value || card.label === fields.label.value) &&
      (limit === 100 || 100 * card.confidence <= limit) &&
      card.name.toLowerCase().includes(part);
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
  sort(); // a browser may restore the choices of an earlier visit
  filter();
}

// The chosen members: checkboxes for the cards on this page, and a hidden field for other members.

export class Choice {
  constructor(root) {
    this.root = root;
    this.boxes = new Map();
    for (const box of root.querySelectorAll("input[name=member][form=review]")) this.boxes.set(box.value, box);
    this.field = root.querySelector("form#review input[name=also]");
    this.ids = new Set(this.field?.value.split(" ").filter(Boolean));
    this.listeners = [];
    for (const [id, box] of this.boxes) {
      if (box.checked) this.ids.add(id);
      box.addEventListener("change", () => {
        if (box.checked) this.ids.add(id);
        else this.ids.delete(id);
        this.show();
      });
    }
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  // Choose without the checkboxes, and move the chosen cards to the front: they may be far down.
  set(ids) {
    this.ids = new Set(ids);
    for (const [id, box] of this.boxes) {
      box.closest(".card").classList.toggle("forward", this.ids.has(id));
    }
    this.show();
  }

  show() {
    for (const [id, box] of this.boxes) {
      box.checked = this.ids.has(id);
      box.closest(".card").classList.toggle("chosen-member", box.checked);
    }
    if (this.field) {
      this.field.value = [...this.ids].filter((id) => !this.boxes.has(id)).join(" ");
    }
    const text = this.root.querySelector(".chosen-count");
    if (text) text.textContent = `${this.ids.size.toLocaleString("en-GB")} chosen`;
    for (const listener of this.listeners) listener(this.ids);
  }
}

// SPDX-License-Identifier: MIT
// What @huggingface/jinja expects around it and QuickJS doesn't have: a CommonJS module, month names in Intl, and a clock that stands
// at the time that the caller gives (caravan.now, seconds since 1970, shown as UTC).
"use strict";
const module = { exports: {} };
const caravan = { now: 0 };
const caravanMonths = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const Intl = {
    DateTimeFormat: class {
        constructor(locale, options) {
            this.short = options.month === "short";
        }
        format(date) {
            const name = caravanMonths[date.getMonth()];
            return this.short ? name.slice(0, 3) : name;
        }
    },
};
const caravanDate = globalThis.Date;
globalThis.Date = class {
    constructor() {
        this.at = new caravanDate(caravan.now * 1000);
    }
    getFullYear() { return this.at.getUTCFullYear(); }
    getMonth() { return this.at.getUTCMonth(); }
    getDate() { return this.at.getUTCDate(); }
    getHours() { return this.at.getUTCHours(); }
    getMinutes() { return this.at.getUTCMinutes(); }
};

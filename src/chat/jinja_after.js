// SPDX-License-Identifier: MIT
// What src/chat/jinja.c calls: caravan.parse(text) and caravan.render(template, context as JSON, seconds since 1970).
(function () {
    const { Template, Environment } = module.exports;
    // The library's raise_exception throws a plain Error, as its own faults do: give it a name of its own.
    const set = Environment.prototype.set;
    Environment.prototype.set = function (name, value) {
        if (name === "raise_exception") {
            value = (text) => {
                const error = new Error(String(text));
                error.name = "Raised";
                throw error;
            };
        }
        return set.call(this, name, value);
    };
    const reserved = new Set(["raise_exception", "strftime_now", "range", "true", "false", "none", "True", "False", "None"]);
    caravan.parse = (text) => new Template(text);
    caravan.render = (template, context, now) => {
        caravan.now = now;
        const items = JSON.parse(context);
        for (const name of Object.keys(items)) {
            if (reserved.has(name)) throw new Error("the variable \"" + name + "\" cannot be set");
        }
        return template.render(items).toWellFormed();
    };
    globalThis.caravan = caravan;
    delete globalThis.eval;
    delete globalThis.Function;
})();

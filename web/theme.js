// SPDX-License-Identifier: MIT
// Light or dark, before anything is drawn: what was chosen here, else what the system says. A classic script, so that nothing flashes.
document.documentElement.dataset.theme = (() => {
    try {
        return localStorage.getItem('caravan.theme') ?? 'system'
    } catch {
        return 'system'
    }
})()

/* SPDX-License-Identifier: MIT
 * An intrusive, circular, doubly linked list: the links lie in the elements, so nothing is allocated, and an element is removed in
 * constant time. A `struct list` is a head or a link in an element. Owner and thread: those of the elements. */
#ifndef CARAVAN_BASE_LIST_H
#define CARAVAN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

/* For heads, and for links of elements that are not in a list yet. */
static inline void list_init(struct list *l) { l->prev = l->next = l; }

static inline bool list_empty(const struct list *head) { return head->next == head; }

static inline void list_insert_before(struct list *at, struct list *link) {
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link) { list_insert_before(head, link); }

static inline void list_push_front(struct list *head, struct list *link) { list_insert_before(head->next, link); }

/* Removes the element; removing it again does no harm. */
static inline void list_remove(struct list *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Removes and returns the first link; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head) {
    struct list *link = head->next;
    if (link == head) return NULL;
    list_remove(link);
    return link;
}

static inline size_t list_count(const struct list *head) {
    size_t n = 0;
    for (const struct list *l = head->next; l != head; l = l->next) n++;
    return n;
}

/* The element that holds a link. */
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))
#define LIST_FIRST(head, type, member) (list_empty(head) ? NULL : LIST_ENTRY((head)->next, type, member))

/* for (LIST_EACH(link, head)) {...}; the current element must stay in the list during its turn. */
#define LIST_EACH(link, head) \
    struct list *link = (head)->next; \
    link != (head); \
    link = link->next
/* As LIST_EACH, but the current element may be removed or freed. */
#define LIST_EACH_SAFE(link, head) \
    struct list *link = (head)->next, *link##_next = link->next; \
    link != (head); \
    link = link##_next, link##_next = link->next

#endif

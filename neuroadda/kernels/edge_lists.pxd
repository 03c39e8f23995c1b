"""Lists of edges in pages of one array: they grow without being copied, and new memory is taken in one piece."""

from libc.stdint cimport uint32_t

cdef enum:
    PAGE = 256  # edges

cdef struct Edge:
    uint32_t u
    uint32_t v

cdef struct EdgeLists:
    Edge* edges
    uint32_t* following  # the page after a page
    size_t* ends  # by list: where its next edge goes
    uint32_t pages  # in use; list i begins with page i


cdef inline size_t count_pages(size_t lists, size_t edges) noexcept nogil:
    """Return how many pages so many lists of so many edges in all take at most."""
    return lists + edges // PAGE


cdef inline void start_lists(EdgeLists* lists, uint32_t count) noexcept nogil:
    cdef uint32_t i
    lists.pages = count
    for i in range(count):
        lists.ends[i] = <size_t>i * PAGE


cdef inline void add_edge(EdgeLists* lists, size_t to, uint32_t u, uint32_t v) noexcept nogil:
    cdef size_t end = lists.ends[to]
    lists.edges[end] = Edge(u, v)
    end += 1
    if end % PAGE == 0:
        lists.following[end // PAGE - 1] = lists.pages
        end = <size_t>lists.pages * PAGE
        lists.pages += 1
    lists.ends[to] = end

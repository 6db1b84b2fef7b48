"""The catalogue."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.classes.naming import list_classes
from app.core.errors import InvalidRequestError
from app.core.paging import Page
from app.core.principals import Principal, Role
from app.frame.contexts import ClassCount
from app.frame.deps import PageRoute, Reader, SessionDep, VisitorDep
from app.frame.render import render
from app.frame.words import card, count, export_links
from app.glitches.browsing import ClassTally, judgements_of, tally_by_class
from app.glitches.pages.contexts import CataloguePage
from app.glitches.pages.query import UNLABELLED, CatalogueQuery, filter_form, parse_catalogue_query
from app.glitches.records import GlitchRecord
from app.glitches.service import list_glitches
from glitch.views import VIEW_DURATIONS_S

router = APIRouter(route_class=PageRoute)

PAGE_SIZE = 48  # fills whole rows of 2, 3, 4, 6 and 8 cards


@router.get("/glitches")
def catalogue(
    request: Request, session: SessionDep, visitor: VisitorDep, principal: Reader
) -> Response:
    """One page of the glitches that pass the filters in the address."""
    query = parse_catalogue_query(request.query_params)
    page: Page[GlitchRecord] = Page()
    errors = query.errors
    if not errors:
        try:
            page = list_glitches(session, query.filters, limit=PAGE_SIZE, cursor=query.cursor)
        except InvalidRequestError as error:
            errors = (str(error),)
    tallies = () if errors else tally_by_class(session, query.filters)
    context = _catalogue_page(
        session, query=query, page=page, tallies=tallies, errors=errors, principal=principal
    )
    return render(request, context, visitor, status=400 if errors else 200)


def _catalogue_page(
    session: Session,
    *,
    query: CatalogueQuery,
    page: Page[GlitchRecord],
    tallies: tuple[ClassTally, ...],
    errors: tuple[str, ...],
    principal: Principal,
) -> CataloguePage:
    judgements = judgements_of(session, [glitch.id for glitch in page.items])
    total = sum(tally.total for tally in tallies)
    return CataloguePage(
        total="Catalogue" if errors else count(total, "glitch", "glitches"),
        form=filter_form(query, tuple(record.name for record in list_classes(session))),
        errors=errors,
        windows=tuple(
            ClassCount(
                text=f"{length:g} s",
                count="",
                share=0.0,
                href=query.href(window=f"{length:g}"),
                is_chosen=length == query.window_s,
            )
            for length in VIEW_DURATIONS_S
        ),
        counts=_class_counts(query, tallies),
        cards=tuple(
            card(glitch, wanted_s=query.window_s, judgement=judgements.get(glitch.id))
            for glitch in page.items
        ),
        exports=export_links(
            query.href(after=None, window=None),
            n_glitches=total,
            may_start=principal.role >= Role.SUBMITTER,
        ),
        first_href=query.href(after=None) if page.previous else None,
        previous_href=query.href(after=page.previous) if page.previous else None,
        next_href=query.href(after=page.next) if page.next else None,
        is_empty_catalogue=not total and not query.is_narrowed and not errors,
        can_upload=principal.role >= Role.SUBMITTER,
    )


def _class_counts(query: CatalogueQuery, tallies: tuple[ClassTally, ...]) -> tuple[ClassCount, ...]:
    most = max((tally.total for tally in tallies), default=0)
    chosen = query.values.get("label")
    return tuple(
        ClassCount(
            text=tally.name or "Unlabelled",
            count=f"{tally.total:,}",
            share=round(100 * tally.total / most, 1),
            href=query.href(
                label=None if chosen == (tally.name or UNLABELLED) else tally.name or UNLABELLED,
                after=None,
            ),
            is_chosen=chosen == (tally.name or UNLABELLED),
        )
        for tally in tallies
    )
